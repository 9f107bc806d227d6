"""Plans that were built before, each under everything that it depends on."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.graphs import Form, GraphSpec
from anymodal_seg_ros.inference.tensorrt.kept_files import (
    cache_dir,
    meta_of,
    read_kept,
    read_meta,
    remove_kept,
    write_kept,
)
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries
from anymodal_seg_ros.written_files import is_unfinished

FORMAT = 1
"""Of the plans that this version of the package builds; counted up when the way changes."""

OPTIMIZATION_LEVEL = 3
"""TensorRT's own default: 4 and 5 build for hours to gain little on networks of this kind."""

WORKSPACE_MB = 1024
"""Memory that kernels may use beside the tensors; enough for all that these networks could want."""


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a plan depends on. Where one of these differs, it is another plan.

    Attributes:
        role: of the graph, for the file's name.
        parts: what it depends on, by name.
    """

    role: str
    parts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The SHA-256 of all parts, hexadecimal."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the plan's file."""
        return f"{self.role}-{self.digest[:20]}.plan"


def plan_key(graph: GraphSpec, libraries: Libraries) -> PlanKey:
    """Return the key of a graph's plan on this machine."""
    return PlanKey(
        graph.role,
        {
            "onnx_sha256": hashlib.sha256(graph.content).hexdigest(),
            "precision": graph.precision,
            "profiles": [[list(sizes) for sizes in some] for some in graph.profiles],
            "options": {
                "format": FORMAT,
                "outputs": list(graph.outputs),
                "optimization_level": OPTIMIZATION_LEVEL,
                "workspace_mb": WORKSPACE_MB,
            },
            **machine_parts(libraries),
        },
    )


def machine_parts(libraries: Libraries) -> dict[str, str | int]:
    """Return the part of a key that is of the machine and not of the model."""
    return {
        "tensorrt": libraries.version,
        "cuda": libraries.cuda,
        "gpu": libraries.gpu.name,
        "compute_capability": libraries.gpu.capability,
        "multiprocessors": libraries.gpu.multiprocessors,
        "driver": libraries.gpu.driver,
        "system": platform.system(),
        "architecture": platform.machine(),
    }


@dataclass(frozen=True, slots=True)
class CachedPlan:
    """One plan in the cache, for those who look through it.

    Attributes:
        path: of the plan.
        about: what was written down of it; empty if that is missing or damaged.
        damage: what is wrong with it, in words; empty if nothing is.
    """

    path: Path
    about: Mapping[str, Any]
    damage: str = ""


class PlanCache:
    """The folder of the plans."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; that of the user, if None. It is made when something is written."""
        self.folder = folder or cache_dir()

    def path(self, key: PlanKey) -> Path:
        """Return where a plan is kept, whether there is one or not."""
        return self.folder / key.name

    def form(self, forms: Sequence[Form], libraries: Libraries) -> Form:
        """Return the best form of which all is built; the best of all where none is.

        Plans that have proven wrong are not kept, so what is here is what may be used.
        """
        for form in forms:
            if all(self.path(plan_key(graph, libraries)).exists() for graph in form):
                return form
        return forms[0]

    def find(self, key: PlanKey) -> bytes | None:
        """Return a plan, None if it was not built yet.

        Raises:
            EngineError: there is one, but it is truncated, altered, or not of this key.
        """
        try:
            content, about = read_kept(self.path(key))
        except FileNotFoundError:
            return None
        if about.get("key") != key.parts:
            raise EngineError(f"{self.path(key)} is not what its name says: it is of another key")
        return content

    def keep(self, key: PlanKey, plan: bytes, **about: Any) -> None:
        """Keep a plan, with whatever else there is to tell of it.

        Raises:
            EngineError: it cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        told = {"key": dict(key.parts), "role": key.role, "built": now, **about}
        write_kept(self.path(key), plan, told)

    def drop(self, key: PlanKey) -> None:
        """Remove a plan that is of no use."""
        remove_kept(self.path(key))

    def timing_path(self, libraries: Libraries) -> Path:
        """Return where the timing cache of this machine is kept, for all models and versions."""
        parts = json.dumps(machine_parts(libraries), sort_keys=True).encode()
        return self.folder / f"timing-{hashlib.sha256(parts).hexdigest()[:20]}.cache"

    def entries(self) -> Iterator[CachedPlan]:
        """Yield all plans and timing caches, by name, and what lies about without being one."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.iterdir()):
            if path.suffix not in (".plan", ".cache") or path.is_dir():
                continue
            about: Mapping[str, Any] = {}
            try:
                told = read_meta(path)
                if not isinstance(told.get("key"), dict):
                    raise EngineError(f"{meta_of(path).name} does not say of what it is")
                about = told
                read_kept(path)
            except FileNotFoundError:
                yield CachedPlan(path, about, f"{meta_of(path).name} is missing")
            except EngineError as error:
                yield CachedPlan(path, about, str(error))
            else:
                yield CachedPlan(path, about)

    def leftovers(self) -> Iterator[Path]:
        """Yield what an interrupted writer has left: half a file, or words about a missing one.

        One that is still at it has such files, too: ask only where
        :func:`~anymodal_seg_ros.inference.tensorrt.locks.files_held`.
        """
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.iterdir()):
            if path.is_dir():
                continue
            alone = path.suffix == ".json" and not path.with_suffix("").exists()
            plan = self.folder / f"{path.name.partition('.')[0]}.plan"
            alone |= ".service" in path.suffixes and not plan.exists()
            if is_unfinished(path) or alone:
                yield path
