"""Model folders: found by path or bundled name, and believed only if every hash agrees."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anymodal_seg_ros.config import did_you_mean
from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.manifest import Manifest, load_manifest
from anymodal_seg_ros.inference.onnx_weights import (
    inlined_nodes,
    names_other_files,
    unknown_version,
)
from anymodal_seg_ros.resources import models_dir, spelling_hint

DEFAULT_MODEL = "rig-nano"
MAX_BYTES = 8 << 30
"""A larger file is no network that a robot runs."""
MAX_NODES = 20_000
"""A larger graph is none either; large networks have some thousands."""
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder whose files are as its manifest says."""

    folder: Path
    manifest: Manifest
    _kept: dict[str, bytes] = field(default_factory=dict, init=False, compare=False, repr=False)

    def has(self, *roles: str) -> bool:
        """Whether the manifest names a file for each of these roles."""
        return all(role in self.manifest.files for role in roles)

    def file(self, role: str) -> Path:
        """Return the path of the file with a role: ``onnx``, ``encode``, ``fuse``, ``weights``.

        Raises:
            ModelError: the manifest names no such file, or one that is not in the folder.
        """
        if role not in self.manifest.files:
            raise ModelError(
                f"the model {self.folder} has no {role!r} file: its manifest names "
                f"{', '.join(self.manifest.files) or 'none'}"
            )
        name = self.manifest.files[role].path
        # Where a build tool links the files of a folder one by one, model.yaml is a link as well.
        folder = (self.folder / "model.yaml").resolve().parent
        try:
            path = (self.folder / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
            raise ModelError(
                f"files.{role}.path in {self.folder / 'model.yaml'} is {name!r}, which leads "
                f"nowhere: {error}"
            ) from error
        if not path.is_relative_to(folder):
            raise ModelError(
                f"files.{role}.path in {self.folder / 'model.yaml'} is {name!r}, which is outside "
                "of the folder: put the file beside model.yaml"
            )
        return path

    def read(self, role: str, *, keep: bool = False) -> bytes:
        """Return the content of the file with a role; it is the one that the manifest's hash names.

        Give these bytes to a library, not the path: a file may change between two looks at it.

        Args:
            role: of the file.
            keep: whether it will be asked for again, when the folder may have been replaced or
                taken away: then its content stays in memory.

        Raises:
            ModelError: there is no such file, or it is not as the manifest says.
        """
        if role in self._kept:
            return self._kept[role]
        with _opened(self.file(role)) as file:
            # As much as is asked for is reserved first, on a robot with 4 GB too.
            content = file.read(os.fstat(file.fileno()).st_size)
        self._compare(role, hashlib.sha256(content).hexdigest())
        if keep:
            self._kept[role] = content
        return content

    def read_graph(self, role: str) -> bytes:
        """Return the content of the ONNX file with a role, as :meth:`read`, with all its weights.

        Raises:
            ModelError: also if some of them are in other files, which nobody has hashed, if it
                calls functions so often that no machine can hold it, or is of a version that not
                all engines know.
        """
        content = self.read(role)
        if reason := unknown_version(content):
            raise ModelError(f"cannot load {self.file(role)}: {reason}; export the model again")
        if names_other_files(content):
            raise ModelError(
                f"cannot load {self.file(role)}: some of its weights are in other files, which "
                "model.yaml has no hashes of: save it as one file, or export the model again"
            )
        if inlined_nodes(content) > MAX_NODES:
            raise ModelError(
                f"cannot load {self.file(role)}: with its functions written out it has more than "
                f"{MAX_NODES} nodes, which no network has: export the model again"
            )
        return content

    def check(self, role: str) -> None:
        """Check that a file is as the manifest says, without holding it in memory.

        Raises:
            ModelError: there is no such file, or it is not as the manifest says.
        """
        with _opened(self.file(role)) as file:
            self._compare(role, _digest(file))

    def _compare(self, role: str, digest: str) -> None:
        expected = self.manifest.files[role].sha256
        if digest != expected:
            has, said = f"{digest[:16]}…", f"{expected[:16]}…"
            if has == said:  # what was altered is model.yaml; two equal numbers would tell nothing
                has, said = digest, expected
            raise ModelError(
                f"{self.file(role)} has sha256 {has}, model.yaml says {said}: "
                "the file was altered or is incomplete; fetch or export the model again"
            )


def load_model(name: str = "") -> Model:
    """Open a model folder and check the hashes of its files.

    Args:
        name: path of a model folder, the name of a bundled model, or empty for the default one.

    Raises:
        ModelError: there is no such folder, its manifest is wrong, or a file is missing, altered,
            outside of the folder or no regular file.
    """
    folder = _find(name or DEFAULT_MODEL)
    model = Model(folder, load_manifest(folder))
    for role in model.manifest.files:
        model.check(role)
    return model


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()


def _opened(path: Path) -> BinaryIO:
    """Open a regular file of a sensible size; a pipe or a device would never end.

    Raises:
        ModelError: it is none, or it cannot be read.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits for somebody to write into it.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise ModelError(f"cannot read {path}, named in model.yaml: {error.strerror}") from error
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_BYTES:
        file.close()
        raise ModelError(
            f"{path}, named in model.yaml, is no regular file of at most {MAX_BYTES >> 30} GB"
        )
    return file


def _find(name: str) -> Path:
    """Return the folder that a path or a bundled name means."""
    for found in (Path(name), models_dir() / name):
        with contextlib.suppress(OSError, RuntimeError):  # too long a name, a ~stranger
            if (folder := found.expanduser()).is_dir():
                return folder
    names = sorted(p.parent.name for p in models_dir().glob("*/model.yaml"))
    near = did_you_mean(name, names)
    raise ModelError(
        f"model is {name!r}, which is neither a folder nor a bundled model: "
        f"{near}expected a path or one of {', '.join(names) or '(none bundled)'}"
        f"{spelling_hint(name)}"
    )
