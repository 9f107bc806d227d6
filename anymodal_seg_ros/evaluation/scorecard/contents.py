"""What a scorecard is of: the runs that its command asked for, whatever else lies in the folder.

A folder keeps what earlier commands left, of other bags, models and faults. None of that is to be
pooled with what was asked for last; and of an evaluation that was stopped, nobody can say what its
figures would have been.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job
from anymodal_seg_ros.evaluation.scorecard.runs.records import RunError
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import RUN, is_finished, load_run
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.written_files import write_file

CONTENTS = "contents.json"
"""Name in the folder of a scorecard."""

RUNS = "runs"
"""Name in the folder: ``runs/BAG/CASE`` are the runs."""

TOLD = ("report.html", "scorecard.json", "scorecard.csv")
"""What is made of the runs in the end."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a command asked for.

    Attributes:
        keys: of its runs, by ``BAG/CASE``; of an evaluation that is over, only of those that are
            there.
        complete: whether it is over.
    """

    keys: Mapping[str, str]
    complete: bool


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from evaluating into a folder: they would take away each other's runs.

    Raises:
        ConfigError: one does already.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process evaluates into {folder}: wait for it, or choose another --out"
            ) from error
        except OSError:
            pass  # a file system without locks: then nothing is held, and nothing is refused
        yield
    finally:
        os.close(descriptor)


def claim(folder: Path) -> None:
    """Make a folder that scorecards are written to one's own, before anything is written to it.

    It is one's own if it is empty, names that begin with a dot aside, or holds a scorecard already.

    Raises:
        ConfigError: it is somebody else's.
    """
    if (folder / CONTENTS).is_file() or any(folder.glob(f"{RUNS}/*/*/{RUN}")):
        return
    if foreign := sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")):
        there = quote(", ".join(foreign), 80)
        raise ConfigError(
            f"--out is {folder}, which holds no scorecard but {there}: name a new or empty folder"
        )
    _write(folder, Contents({}, complete=False))


def outdated(jobs: Iterable[Job]) -> list[str]:
    """Return the names of the finished runs that are made anew: they answer another question.

    They are of another command, or their bag, their model or their parameters have changed since.
    """
    return [name_of(job.folder) for job in jobs if _is_another(job)]


def _is_another(job: Job) -> bool:
    try:
        return load_run(job.folder).key != job.key
    except RunError:
        return False  # nothing that anybody could read


def begin(folder: Path, jobs: Sequence[Job]) -> None:
    """Write down what is asked for, before it is done.

    What was told of an earlier command goes: nobody shall take it for the report of this one.
    """
    for name in TOLD:
        (folder / name).unlink(missing_ok=True)
    _write(folder, Contents({name_of(job.folder): job.key for job in jobs}, complete=False))


def conclude(folder: Path, jobs: Sequence[Job]) -> None:
    """Write down which of the runs are there, now that nothing more is to be done."""
    done = (job for job in jobs if is_finished(job.folder, job.key))
    _write(folder, Contents({name_of(job.folder): job.key for job in done}, complete=True))


def read_contents(folder: Path) -> Contents | None:
    """Read what a scorecard is of; None if nobody wrote it down: then of all that is there.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / CONTENTS
    if not path.is_file():
        return None
    try:
        plain = read_json(path)
        return Contents(dict(plain["runs"]), bool(plain["complete"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: remove it and evaluate again ({error})") from error


def _write(folder: Path, contents: Contents) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"complete": contents.complete, "runs": dict(contents.keys)}
    write_file(folder / CONTENTS, json.dumps(plain, indent=1) + "\n")


def name_of(run: Path) -> str:
    """Return what the folder of a run is called in a scorecard, ``BAG/CASE``."""
    return f"{run.parent.name}/{run.name}"
