"""What ``engine: auto`` has found on this machine, remembered so that the next start is fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from anymodal_seg_ros.inference.hardware.gpu import gpu_name
from anymodal_seg_ros.inference.hardware.machine import fingerprint, machine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.resources import user_cache_dir
from anymodal_seg_ros.written_files import write_file

MOST = 64
"""Results that are kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was taken, and why."""

    kind: str
    reason: str


class ChoiceMemory:
    """A small JSON file, ``$XDG_CACHE_HOME/anymodal_seg_ros/engines.json`` unless told otherwise.

    A file that is damaged or cannot be written costs new trials, and nothing else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or _default_path()

    def find(self, key: str) -> Remembered | None:
        """Return what was found for a key of :func:`choice_key`, None if nothing was."""
        entry = self._read().get(key)
        try:
            found = Remembered(**entry) if isinstance(entry, dict) else None
        except TypeError:
            return None
        whole = found and isinstance(found.kind, str) and isinstance(found.reason, str)
        return found if whole else None

    def keep(self, key: str, found: Remembered) -> str:
        """Remember it, and say why if that cannot be; empty if it is.

        The file is replaced as a whole, so readers see the old one or the new.
        """
        entries = {name: entry for name, entry in self._read().items() if name != key}
        kept = dict([*entries.items(), (key, asdict(found))][-MOST:])
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(self._path, json.dumps(kept, indent=1), private=True)
        except OSError as error:
            return f"each start tries anew, as {self._path} cannot be written ({error.strerror})"
        return ""

    def _read(self) -> Mapping[str, object]:
        try:
            content = read_json(self._path)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def choice_key(model: Model, threads: int, confidence: bool, providers: str) -> str:
    """Return a key of everything on which a choice depends.

    The files of the model, this machine with its libraries, driver, GPU and power mode, and how the
    engine is to run.
    """
    files = {role: spec.sha256 for role, spec in model.manifest.files.items()}
    how = {"threads": threads, "confidence": confidence, "providers": providers, "gpu": gpu_name()}
    return fingerprint({**machine(), "files": files, **how})


def _default_path() -> Path:
    return user_cache_dir() / "engines.json"
