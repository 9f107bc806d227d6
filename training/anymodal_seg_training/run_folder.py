"""One training run on disk: recipe, environment, log, last checkpoint, best weights, results."""

from __future__ import annotations

import errno
import fcntl
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.written_files import forget_unfinished, open_own
from anymodal_seg_training import __version__
from anymodal_seg_training.checkpoint import (
    keep_previous,
    load_checkpoint,
    save_checkpoint,
    write_text_atomically,
)
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.recipe import Recipe, load_recipe

_NOTHING = object()
"""What a recipe has where it lacks an entry; None may be one."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of a run are."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The recipe with all defaults filled in."""
        return self.path / "recipe.yaml"

    @property
    def log_file(self) -> Path:
        """One JSON object per line: losses, learning rates, validations."""
        return self.path / "log.jsonl"

    @property
    def last_file(self) -> Path:
        """Everything needed to go on."""
        return self.path / "last.pt"

    @property
    def previous_file(self) -> Path:
        """The checkpoint before the last one."""
        return self.path / "previous.pt"

    @property
    def best_file(self) -> Path:
        """The weights with the best validation score."""
        return self.path / "best.safetensors"

    def result_file(self, split: str) -> Path:
        """The evaluation of the best weights on a split."""
        return self.path / f"evaluation-{split}.json"

    @property
    def evaluation_command(self) -> str:
        """What measures the best weights, to be copied into a shell."""
        return f"anymodal-train evaluate {shlex.quote(str(self.path))}"

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run.

        Raises:
            ConfigError: this is no run folder.
        """
        if not self.recipe_file.is_file():
            raise ConfigError(f"{self.path} is no run folder: it holds no recipe.yaml")
        return load_recipe(self.recipe_file)

    @property
    def begun(self) -> bool:
        """Whether there is anything in it that a run has learned."""
        return any(path.exists() for path in (self.log_file, self.last_file, self.best_file))

    def create(self, recipe: Recipe) -> None:
        """Make the folder for a new run; one that failed before its first step is written over.

        Raises:
            TrainingError: there is a run in it already, or it cannot be written.
        """
        if self.begun:
            raise TrainingError(
                f"{self.path} holds a run already: add --resume to go on with it, "
                "or name another folder with --run-dir"
            )
        self._make()
        self.write_yaml(self.path / "environment.yaml", environment())
        self.write_yaml(self.recipe_file, recipe.plain())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in this folder, which is made if there is none.

        The system lets go of it when this process ends, in whatever way. Checkpoints that one of
        them was killed half-way through are removed.

        Raises:
            TrainingError: another process trains in it, or it cannot be made.
        """
        self._make()
        try:
            lock = open_own(self.path / ".lock")
        except OSError as error:
            raise TrainingError(
                f"cannot write in the run folder {self.path}: {error}; mend its permissions, or "
                "name another folder with --run-dir"
            ) from error
        with lock as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise TrainingError(
                        f"another process trains in {self.path}: wait for it or stop it, "
                        "or name another folder with --run-dir"
                    ) from error
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                # Some network folders have no locks: then nobody watches.
            else:
                for path in (self.last_file, self.previous_file, self.best_file):
                    forget_unfinished(path)
            yield

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"cannot make the run folder {self.path}: {error}") from error

    def check_same(self, recipe: Recipe) -> None:
        """Make sure that a run is resumed with the recipe that it was started with.

        Raises:
            TrainingError: an entry differs.
        """
        if found := first_difference(self.recipe.plain(), recipe.plain()):
            key, before, value = found
            raise TrainingError(
                f"cannot resume {self.path}: its recipe has {key} {before}, the recipe given has "
                f"{value}: go on with {self.recipe_file}, or name another folder with --run-dir"
            )

    def save_last(self, state: Mapping[str, Any]) -> None:
        """Write the last checkpoint; the one before it is kept.

        Raises:
            TrainingError: it cannot be written; what was there before is intact.
        """
        if self.last_file.exists():
            keep_previous(self.last_file, self.previous_file)
        save_checkpoint(self.last_file, state)

    def load_last(self) -> dict[str, Any]:
        """Read the last checkpoint.

        Raises:
            TrainingError: it is broken; the message says how to go on.
        """
        try:
            return load_checkpoint(self.last_file)
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._way_on()}") from error

    def _way_on(self) -> str:
        """What to do about a broken last checkpoint."""
        try:
            step = int(load_checkpoint(self.previous_file)["step"])
        except (TrainingError, KeyError, TypeError, ValueError):
            return "start the run again in a new folder"
        again = ("mv", str(self.previous_file), str(self.last_file))
        return (
            f"the one before it, of step {step}, is whole: "
            f"{shlex.join(again)} and go on with --resume"
        )

    def write_yaml(self, path: Path, values: Mapping[str, Any]) -> None:
        """Write a mapping to a YAML file, whole or not at all."""
        content = yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None, width=100)
        write_text_atomically(path, content)

    def write_json(self, path: Path, values: Mapping[str, Any]) -> None:
        """Write a mapping to a JSON file, whole or not at all."""
        write_text_atomically(path, json.dumps(values, indent=2) + "\n")


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, str, str] | None:
    """Find an entry in which two recipes differ.

    Returns:
        Its dotted name and both values, as one would write them; None if the recipes are alike.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys((*before, *now)):
            was, is_now = before.get(name, _NOTHING), now.get(name, _NOTHING)
            if found := first_difference(was, is_now, f"{key}.{name}".lstrip(".")):
                return found
        return None
    return None if before == now else (key, _written(before), _written(now))


def _written(value: Any) -> str:
    return "no such entry" if value is _NOTHING else repr(value)


def environment() -> dict[str, str]:
    """Describe what the run ran on."""
    return {
        "anymodal_seg_training": __version__,
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        **checkout_state(Path(__file__).parent),
    }


def checkout_state(folder: Path) -> dict[str, str]:
    """Return the commit of the git checkout that ``folder`` belongs to, and whether it was changed.

    An installed package that only happens to lie below a checkout does not belong to it.

    Returns:
        ``commit`` and ``uncommitted`` (``yes`` or ``no``); nothing where there is no checkout.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    try:
        if not git("ls-files", "."):
            return {}
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "uncommitted": "yes" if changed else "no"}
    except (OSError, subprocess.SubprocessError):
        return {}
