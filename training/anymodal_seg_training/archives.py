"""Files that PyTorch and safetensors open: what they could not refuse by themselves."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

from anymodal_seg_training.errors import TrainingError


def check_archive(path: Path) -> None:
    """Refuse what would be waited for, or unpacks to more than the file has.

    Raises:
        TrainingError: it is a pipe or a device, or an archive with packed entries.
    """
    if path.exists() and not path.is_file():
        raise TrainingError(f"cannot read {path}: it is no file")
    with contextlib.suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.filelist)
        if packed:
            raise TrainingError(
                f"cannot read {path}: its entries are packed, and a few bytes can hold gigabytes; "
                "save it again with torch.save, which packs nothing"
            )
