"""Files that PyTorch and safetensors open: what they could not refuse by themselves."""

from __future__ import annotations

import codecs
import contextlib
import zipfile
from pathlib import Path

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_training.errors import TrainingError

_PICKLE = "data.pkl"
"""What an archive of ``torch.save`` has beside its tensors."""

_AGAIN = "download it again"
_UNPACK = "unpack it and name the file in it"
_KINDS = (
    (0, b"\x1f\x8b", f"it is packed by gzip: {_UNPACK}"),
    (0, b"BZh", f"it is packed by bzip2: {_UNPACK}"),
    (0, b"\xfd7zXZ", f"it is packed by xz: {_UNPACK}"),
    (0, b"7z\xbc\xaf", f"it is an archive of 7-Zip: {_UNPACK}"),
    (0, b"Rar!", f"it is an archive of RAR: {_UNPACK}"),
    (257, b"ustar", f"it is a tar archive: {_UNPACK}"),
    (
        0,
        b"\x89HDF",
        "it is HDF5, as Keras writes it: expected what torch.save or safetensors wrote",
    ),
)
"""What a file is by some of its first bytes: where they are, what they are, what to do."""

_FIRST = 512
_ZIP = b"PK\x03\x04"
_LFS = b"version https://git-lfs"


def check_archive(path: Path) -> None:
    """Refuse what would be waited for, or unpacks to more than the file has.

    Raises:
        TrainingError: it is a pipe or a device, or an archive with packed entries, or of others.
    """
    if path.exists() and not path.is_file():
        raise TrainingError(f"cannot read {path}: it is no file")
    with contextlib.suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            entries = archive.filelist
        if entries and not any(entry.filename.endswith(_PICKLE) for entry in entries):
            raise TrainingError(
                f"cannot read {path}: it is a zip archive that torch.save did not write, with "
                f"{quote(entries[0].filename)} in it: {_UNPACK}"
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise TrainingError(
                f"cannot read {path}: its entries are packed, and a few bytes can hold gigabytes; "
                "save it again with torch.save, which packs nothing"
            )


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors by what it holds; its name is of no account."""
    with path.open("rb") as file:
        first = file.read(9)
    return first[8:] == b"{" and int.from_bytes(first[:8], "little") + 8 <= path.stat().st_size


def told_kind(path: Path) -> str:
    """Say what a file is that holds no weights, and what to do; empty where that is not known."""
    with path.open("rb") as file:
        first = file.read(_FIRST)
    if not first:
        return f"it is empty: {_AGAIN}"
    if first.startswith(_LFS):
        return "it is a pointer of Git LFS and not the file: fetch that with 'git lfs pull'"
    with contextlib.suppress(UnicodeDecodeError):
        # Of what follows the last character may be cut.
        line = codecs.getincrementaldecoder("utf-8")().decode(first).strip().partition("\n")[0]
        if line and line.isprintable():
            return f"it is text that begins with {quote(repr(line), 60)}: {_AGAIN}, not a page"
    if first.startswith(_ZIP) and not zipfile.is_zipfile(path):
        return f"it is an archive without its end, the rest is missing: {_AGAIN}"
    return next((said for at, mark, said in _KINDS if first[at:].startswith(mark)), "")
