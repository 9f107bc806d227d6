"""Model folders: found by path or bundled name, and believed only if every hash agrees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.manifest import Manifest, load_manifest
from anymodal_seg_ros.resources import models_dir

DEFAULT_MODEL = "rig-nano"


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder whose files are as its manifest says."""

    folder: Path
    manifest: Manifest

    def file(self, role: str) -> Path:
        """Return the path of the file with a role, ``onnx`` or ``weights``.

        Raises:
            ModelError: the manifest names no such file.
        """
        if role not in self.manifest.files:
            raise ModelError(
                f"the model {self.folder} has no {role!r} file: its manifest names "
                f"{', '.join(self.manifest.files) or 'none'}"
            )
        return self.folder / self.manifest.files[role].path


def load_model(name: str = "") -> Model:
    """Open a model folder and check the hashes of its files.

    Args:
        name: path of a model folder, the name of a bundled model, or empty for the default one.

    Raises:
        ModelError: there is no such folder, its manifest is wrong, or a file is missing or altered.
    """
    folder = _find(name or DEFAULT_MODEL)
    model = Model(folder, load_manifest(folder))
    for role, spec in model.manifest.files.items():
        path = model.file(role)
        try:
            digest = sha256(path)
        except OSError as error:
            raise ModelError(f"cannot read {path}, named in model.yaml: {error}") from error
        if digest != spec.sha256:
            raise ModelError(
                f"{path} has sha256 {digest[:16]}…, model.yaml says {spec.sha256[:16]}…: "
                "the file was altered or is incomplete; fetch or export the model again"
            )
    return model


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _find(name: str) -> Path:
    """Return the folder that a path or a bundled name means."""
    given = Path(name).expanduser()
    if given.is_dir():
        return given
    bundled = models_dir() / name
    if bundled.is_dir():
        return bundled
    names = sorted(p.parent.name for p in models_dir().glob("*/model.yaml"))
    raise ModelError(
        f"model is {name!r}, which is neither a folder nor a bundled model: "
        f"expected a path or one of {', '.join(names) or '(none bundled)'}"
    )
