"""Which files a bag consists of, with or without its ``metadata.yaml``, and how each is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from anymodal_seg_ros.config import did_you_mean, read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bag_storage import mcap, ros1, sqlite
from anymodal_seg_ros.evaluation.bag_storage.recording import BagError, Storage
from anymodal_seg_ros.evaluation.bag_storage.unpack import ZSTD_MAGIC, unpack_file
from anymodal_seg_ros.foreign_text import quote

METADATA = "metadata.yaml"
_PACKED = (".zstd", ".zst")
_SUFFIXES = (".mcap", ".db3", ".bag", ".active", *_PACKED)
_MAX_FILES = 10_000


class BagFiles:
    """The open files of a bag.

    Attributes:
        storages: the files that could be opened.
        notes: what was wrong but could be passed over, one line each.
    """

    def __init__(self, path: Path) -> None:
        """Find and open the files.

        Args:
            path: a folder, or one file.

        Raises:
            BagError: none of the files can be read.
        """
        self.storages: list[Storage] = []
        self.notes: list[str] = []
        self._unpacked: TemporaryDirectory[str] | None = None
        failures: list[BagError] = []
        for file in self._find(path):
            try:
                self.storages.append(self._open(file))
            except BagError as error:
                failures.append(error)
            except OSError as error:
                failures.append(BagError(f"cannot read {file}: {error.strerror}"))
        if failures and not self.storages:
            self.close()
            raise failures[0]
        self.notes += [f"left out: {failure}" for failure in failures]

    def close(self) -> None:
        """Close the files, and delete what was unpacked."""
        for storage in self.storages:
            storage.close()
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def _find(self, path: Path) -> list[Path]:
        try:
            there_is_one = path.exists()
        except OSError as error:  # such as too long a name
            raise BagError(f"there is no bag at {path}: {error.strerror}") from error
        if not there_is_one:
            raise BagError(f"there is no bag at {path}{_alike(path)}")
        if path.name == METADATA:
            path = path.parent
        if not path.is_dir():
            return [path]
        there = {file.name: file for file in _recordings(path)}
        listed = self._listed(path / METADATA, [file.name for file in _once(there)])
        files = [there[name] for name in dict.fromkeys(listed) if name in there]
        if listed and not files and there:
            self.notes.append(
                f"{path}: none of the files that {METADATA} names are there: what is there is read "
                "('ros2 bag reindex' mends it)"
            )
        elif len(files) < len(set(listed)):
            missing = next(name for name in listed if name not in there)
            self.notes.append(
                f"{path}: {quote(missing)}, which {METADATA} names, is missing: "
                f"{len(files)} of {len(set(listed))} files are read"
            )
        files = files or _once(there)
        if not files:
            inside = sorted(file.parent.name for file in path.glob(f"*/{METADATA}"))
            bags = f"; bags in it are {quote(', '.join(inside), 150)}" if inside else ""
            raise BagError(
                f"cannot read {path} as a bag: expected files {', '.join(_SUFFIXES)} in it{bags}"
            )
        return files

    def _listed(self, metadata: Path, there: list[str]) -> list[str]:
        """Return the names of the files that the metadata list; their places are not believed."""
        mend = f"{', '.join(there[:3])} read without it; 'ros2 bag reindex' makes a new one"
        if not metadata.exists():
            if there and not there[0].endswith((".bag", ".active")):
                self.notes.append(f"{metadata} is missing: {mend}")
            return []
        try:
            content = read_yaml(metadata, "bag's metadata")
        except ConfigError as error:
            self.notes.append(f"{error}: {mend}")
            return []
        information = _entry(content, "rosbag2_bagfile_information")
        names = _entry(information, "relative_file_paths")
        if not isinstance(names, list):
            self.notes.append(f"{metadata} names no files: {mend}")
            return []
        return [PurePath(str(name)).name for name in names[:_MAX_FILES]]

    def _open(self, file: Path, packed: Path | None = None) -> Storage:
        """Open a file, unpacked from another one or not, as what its first bytes say it is."""
        if not file.is_file():  # a pipe would be waited for
            raise BagError(f"cannot read {file} as a bag: it is no regular file")
        with file.open("rb") as opened:
            head = opened.read(16)
        if not head:
            raise BagError(f"{file} is empty: the recorder ended before it wrote anything")
        if head.startswith(ZSTD_MAGIC):
            if packed is not None:
                raise BagError(f"{packed} is packed several times over: unpack it (zstd -d)")
            if self._unpacked is None:
                self._unpacked = TemporaryDirectory(prefix="bag-")
            unpacked = Path(self._unpacked.name) / f"{len(self.storages)}-{file.stem}"
            unpack_file(file, unpacked)
            return self._open(unpacked, file)
        if head.startswith(mcap.MAGIC):
            return mcap.McapFile(file)
        if head.startswith(sqlite.MAGIC):
            return sqlite.SqliteFile(file)
        if head.startswith(ros1.MAGIC):
            return ros1.open_ros1(file)
        raise BagError(
            f"cannot read {file} as a bag: it is neither mcap nor sqlite3 nor a bag of ROS 1"
            + (", it is full of zeros as after a loss of power" if not any(head) else "")
        )


def _alike(path: Path) -> str:
    """Return what lies beside a path that is not there and is nearly called so; or nothing."""
    try:
        beside = [quote(file.name) for file in path.parent.iterdir()]
    except OSError:
        return ""
    near = did_you_mean(path.name, beside).strip()
    return f": {near}" if near else ""


def _recordings(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.suffix in _SUFFIXES and file.is_file():
            yield file


def _once(there: Mapping[str, Path]) -> list[Path]:
    """Leave out what is there unpacked as well: players unpack files beside the packed ones."""
    packed = {name for name, file in there.items() if file.suffix in _PACKED and file.stem in there}
    return [file for name, file in there.items() if name not in packed]


def _entry(content: Any, name: str) -> Any:
    return content.get(name) if isinstance(content, Mapping) else None
