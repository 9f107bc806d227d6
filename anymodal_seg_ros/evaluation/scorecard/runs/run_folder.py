"""The folder of one replay: ``run.json`` says what it was, ``masks.jsonl`` what came of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build, count, given, number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.runs.record_blocks import RecordBlocks
from anymodal_seg_ros.evaluation.scorecard.runs.records import (
    LONGEST_S,
    MaskRecord,
    RunError,
    Transition,
    is_name,
    read_records,
)
from anymodal_seg_ros.json_files import json_bytes, read_json
from anymodal_seg_ros.written_files import write_file

FORMAT = 1
"""Of the folder; it counts up when older ones cannot be read any more."""

_MOST = 1 << 53
"""Of anything that is counted."""

_PICTURE = re.compile(r"\d{1,3}-\d{1,3}\.jpg")

RUN, MASKS, WORST = "run.json", "masks.jsonl", "worst"
"""Names in the folder of a run."""

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a run depends on."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class WorstMask:
    """One of the worst masks of a run.

    Attributes:
        time_s: when it was due, in seconds after the start of the bag.
        score: the lower, the worse.
        of: what the score is: ``miou``, or ``kept`` without ground truth.
        subset: the fused sensors.
        states: of every sensor.
        pictures: names of files in the folder :data:`WORST`, by what they show.
    """

    time_s: float = given("after the start of the bag", -LONGEST_S, LONGEST_S)
    score: float = given("the lower, the worse", 0.0, 1.0)
    of: str = given("what the score is")
    subset: str = given("the fused sensors")
    states: Mapping[str, str] = given("of every sensor")
    pictures: Mapping[str, str] = given("names of files by what they show")


@dataclass(frozen=True)
class Run:
    """What one replay was, and the way to its records.

    Attributes:
        key: of everything that the masks depend on; two runs with one key are the same.
        bag: its name in this scorecard.
        case: name of the case.
        condition: of the bag, e.g. ``night``; empty if nobody said.
        span_s: the part of the bag that was replayed, in seconds after its start.
        sensors: of the rig that took part, in configured order.
        period_s: promised time between two masks while a sensor is the reference, by sensor.
        classes: of the model.
        windows: of faults.
        timeline: of faults, as YAML.
        ground_truth: where labels come from, in words; empty if there are none.
        transitions: of states after the last mask.
        messages: that were replayed.
        masks: that came of them.
        superseded: frame sets that were dropped for newer ones.
        rejected: messages that were rejected, by sensor.
        wall_s: time that the replay took, measured.
        settings: model, engine and versions, for people.
        inputs: files, with their hashes.
        worst: pictures of the worst masks; see ``worst.py``.
        notes: what was wrong with the bag but could be passed over, one line each.
        reference: the sensor that is preferred for the reference, of those that were recorded;
            empty if nobody wrote it down.
        begins_s: when its first message was recorded, in seconds after the start of the bag.
        folder: where it is kept.
    """

    key: str = given("of everything that the masks depend on")
    bag: str = given("its name")
    case: str = given("name of the case")
    condition: str = given("of the bag")
    span_s: tuple[float, float] = given("part of the bag", 0.0, LONGEST_S)
    sensors: tuple[str, ...] = given("that took part")
    period_s: Mapping[str, float] = given("by sensor", 1e-6, LONGEST_S)
    classes: tuple[str, ...] = given("of the model")
    windows: tuple[FaultWindow, ...] = given("of faults")
    timeline: str = given("of faults")
    ground_truth: str = given("where labels come from")
    transitions: tuple[Transition, ...] = ()
    messages: int = count(0, 0, _MOST, "that were replayed")
    masks: int = count(0, 0, _MOST, "that came of them")
    superseded: int = count(0, 0, _MOST, "dropped for newer ones")
    rejected: Mapping[str, int] = field(default_factory=dict, metadata={"range": (0, _MOST)})
    wall_s: float = number(0.0, 0.0, LONGEST_S, "that the replay took")
    settings: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    worst: tuple[WorstMask, ...] = ()
    notes: tuple[str, ...] = ()
    reference: str = ""
    begins_s: float = number(0.0, 0.0, LONGEST_S, "when its first message was recorded")
    folder: Path = Path()

    @cached_property
    def records(self) -> Sequence[MaskRecord]:
        """One for every mask, in the order in which they were due.

        Raises:
            RunError: the file is damaged.
        """
        records = RecordBlocks(self._read())
        if len(records) != self.masks:
            raise RunError(
                f"{self.folder / MASKS} is damaged: it holds {len(records)} masks, the run had "
                f"{self.masks}; remove its folder and evaluate again"
            )
        return records

    def _read(self) -> Iterator[MaskRecord]:
        path = self.folder / MASKS
        for record in read_records(path, len(self.classes)):
            if record.reference not in self.period_s:
                raise RunError(
                    f"{path} is damaged: the reference of a mask is {record.reference!r:.60}, no "
                    "sensor of the run; remove its folder and evaluate again"
                )
            yield record

    @cached_property
    def pools(self) -> dict[Any, Any]:
        """What has been added up of the records already, by what was asked for."""
        return {}

    @property
    def seconds(self) -> float:
        """Length of what was replayed."""
        return self.span_s[1] - self.span_s[0]

    def every_transition(self) -> tuple[Transition, ...]:
        """Return all changes of states, in the order of time."""
        return self._every_transition

    @cached_property
    def _every_transition(self) -> tuple[Transition, ...]:
        found = [t for record in self.records for t in record.transitions]
        return tuple(sorted((*found, *self.transitions), key=lambda t: t.time_s))


def _check_names(run: Run) -> None:
    """Refuse names that a terminal or a table would obey: they come from whoever made the run."""
    named = [(sensor, state) for sensor, state, _ in map(astuple, run.transitions)]
    named += [(window.sensor, window.label) for window in run.windows]
    own = (run.key, run.bag, run.case, run.condition, *run.sensors, *run.classes)
    for name in (*own, *itertools.chain(*named)):
        if not is_name(name):
            raise ConfigError(f"{name!r:.60} cannot be a name: expected printable text")


def load_run(folder: Path) -> Run:
    """Read the folder of a run.

    Raises:
        RunError: there is none, or it is of another version.
    """
    path = folder / RUN
    try:
        plain = read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} holds no finished run: {error}") from error
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise RunError(f"{path} is not of format {FORMAT}: evaluate the bag again")
    try:
        run = build(Run, plain, "")
        if not run.span_s[0] <= run.span_s[1]:
            raise ConfigError(f"span_s is {list(run.span_s)}: expected [from, to]")
        named = (*run.sensors, *filter(None, [run.reference]))
        if unknown := [name for name in named if name not in run.period_s]:
            raise ConfigError(f"period_s has no {unknown[0]!r:.60}: expected every sensor")
        _check_names(run)
        for name in (name for mask in run.worst for name in mask.pictures.values()):
            if not _PICTURE.fullmatch(name):  # or the report would hold any file of this machine
                raise ConfigError(f"worst has the picture {name!r:.60}: expected such as 0-1.jpg")
    except (ConfigError, OverflowError) as error:
        raise RunError(f"{path} is damaged: {error}; evaluate the bag again") from error
    return replace(run, folder=folder)


def is_finished(folder: Path, key: str) -> bool:
    """Whether a folder holds this very run already."""
    try:
        return load_run(folder).key == key
    except RunError:
        return False


@contextmanager
def new_run(folder: Path) -> Iterator[Path]:
    """Lend an empty folder to write a run to, beside the one that it will be.

    It is gone afterwards, whatever happened, unless :func:`finish` gave it its name.

    Raises:
        RunError: it cannot be created, or something else is in the way.
    """
    refuse_links(folder, *list(folder.parents)[:2])  # OUT/runs/BAG/CASE
    if folder.exists() and not (folder / RUN).is_file():
        raise RunError(f"{folder} exists and is no run: choose another --out")
    partial = _partial(folder)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write to {partial}: {error}") from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_links(*places: Path) -> None:
    """Refuse folders of a scorecard that lead to elsewhere, where nobody asked to write or remove.

    Raises:
        RunError: one is a link.
    """
    if link := next((place for place in places if place.is_symlink()), None):
        raise RunError(f"{link} is a link to elsewhere: remove it, or choose another --out")


def forget_partial(folder: Path) -> None:
    """Remove what a process that was ended left of the folder that it was to write."""
    shutil.rmtree(_partial(folder), ignore_errors=True)


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + _PARTIAL)


def finish(partial: Path, folder: Path, run: Run) -> None:
    """Write ``run.json`` and give the folder its name: an unfinished run never has it."""
    plain = {"format": FORMAT, **asdict(run)}
    del plain["folder"]
    write_file(partial / RUN, json_bytes(plain))
    _take_name(partial, folder)


def _take_name(partial: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def adopt(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the folder of a run that was made elsewhere.

    Args:
        folder: that it will be.
        files: contents by paths in the folder.

    Raises:
        RunError: it cannot be written, or something else is in the way.
    """
    with new_run(folder) as partial:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
        _take_name(partial, folder)


def file_hash(path: Path) -> InputFile:
    """Hash a file, however large.

    Raises:
        RunError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}") from error
    return InputFile(str(path), digest.hexdigest(), size)


def bag_hashes(path: Path) -> tuple[InputFile, ...]:
    """Hash the files of a bag, in the order of their names.

    Raises:
        RunError: one cannot be read.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    return tuple(file_hash(file) for file in files)


def folder_hash(path: Path) -> InputFile:
    """Hash a folder of many files as one: their names and contents.

    Raises:
        RunError: one cannot be read.
    """
    files = [file_hash(file) for file in sorted(p for p in path.rglob("*") if p.is_file())]
    text = "\n".join(f"{Path(f.path).relative_to(path)} {f.sha256}" for f in files)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return InputFile(str(path), digest, sum(file.bytes for file in files))


def run_key(content: Mapping[str, Any]) -> str:
    """Return a short name of everything that a run depends on."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
