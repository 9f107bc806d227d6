"""Scorecards of strangers: whatever a folder holds, it is figures, or one line says why not."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.scorecard.figures import selection
from anymodal_seg_ros.evaluation.scorecard.report.report import write_report
from anymodal_seg_ros.evaluation.scorecard.runs.records import RunError, from_line
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run, new_run
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard

RUN: dict[str, Any] = {
    "format": 1,
    "key": "k",
    "bag": "drive",
    "case": "healthy",
    "condition": "",
    "span_s": [0, 1],
    "sensors": ["rgb"],
    "period_s": {"rgb": 0.1},
    "classes": ["ground", "sky"],
    "windows": [],
    "timeline": "",
    "ground_truth": "",
    "transitions": [],
    "masks": 1,
    "settings": {},
    "inputs": [],
    "worst": [],
}
RECORD: dict[str, Any] = {
    "time_s": 0.1,
    "stamp_ns": 5,
    "reference": "rgb",
    "sensors": ["rgb"],
    "states": {"rgb": "OK"},
    "overlap": [[5, 5], [6, 6], [6, 6]],
}
WORST = {"time_s": 0.1, "score": 0.1, "of": "miou", "subset": "rgb", "states": {}, "pictures": {}}
ESCAPE = "\x1b[31m[/x]\n=1+1\u202e"


def scorecard(folder: Path, run: Any, record: Any) -> Path:
    """A folder with one run; texts and bytes are written as they are."""
    place = folder / "runs" / "drive" / "healthy"
    place.mkdir(parents=True)
    for name, content in (("run.json", run), ("masks.jsonl", record)):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n"
        (place / name).write_bytes(raw)
    return folder


def told(folder: Path) -> str:
    """Compare a scorecard with itself and return what was printed."""
    done = CliRunner().invoke(main, ["compare", str(folder), str(folder)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_sound_one_is_read(tmp_path: Path) -> None:
    assert "miou" in told(scorecard(tmp_path, RUN, RECORD))
    worst = {**WORST, "pictures": {"rgb": "0-0.jpg"}}
    card = load_scorecard(scorecard(tmp_path / "other", {**RUN, "worst": [worst]}, RECORD))
    assert "data:image" in write_report(card, None, "").read_text()


@pytest.mark.parametrize("field", sorted(set(RUN) - {"format"}))
def test_no_entry_of_a_run_is_believed(field: str, tmp_path: Path) -> None:
    values: list[Any] = [None, 5, -1, "x", [1, 2], [None], {"a": 1}, {ESCAPE: 1}, [[]], True]
    values += [float("nan"), [0.0, float("inf")], [2, 1], 10**400, ESCAPE, [ESCAPE], "\ud800"]
    for number, value in enumerate(values):
        folder = scorecard(tmp_path / str(number), {**RUN, field: value}, RECORD)
        try:
            output = told(folder)
        except AnymodalError as error:
            output = str(error)
            assert "healthy" in output and len(output) < 500
        assert not set("\x1b\u202e") & set(output)


def test_a_report_shows_text_as_text(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    own = {"settings": {script: script}, "notes": [script], "ground_truth": script, "bag": script}
    page = write_report(load_scorecard(scorecard(tmp_path, {**RUN, **own}, RECORD)), None, script)
    assert script not in page.read_text() and "&lt;script&gt;" in page.read_text()


@pytest.mark.parametrize("field", [*RECORD, "votes", "arrived_s", "kept", "transitions", "wait_ms"])
def test_no_entry_of_a_record_is_believed(field: str) -> None:
    values: list[Any] = [5.5, "x", [1], [None], [[]], {"a": "b"}, {"a": None}, [2, 1], ESCAPE]
    values += [float("nan"), float("inf"), 10**400, [[-1], [0], [0]], [ESCAPE], {"rgb": ESCAPE}]
    values += [[[1, 2, 3]], [["rgb", ESCAPE, 0.5]], [[10**12]] * 3]
    refused = 0
    for value in values:
        try:
            from_line(json.dumps({**RECORD, field: value}))
        except RunError as error:
            refused += 1
            assert len(str(error)) < 500
    assert refused >= len(values) - 4, "the others are sound values of such an entry"


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "no text": lambda path: path.write_bytes(b"\xff\n"),
    "one line without an end": lambda path: path.write_bytes(b" " * 5_000_000),
    "another number of classes": lambda path: path.write_text(
        json.dumps({**RECORD, "overlap": [[1], [1], [1]]})
    ),
    "a pipe": fifo,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["run.json", "masks.jsonl"])
def test_a_damaged_file_is_named(name: str, damage: str, tmp_path: Path) -> None:
    folder = scorecard(tmp_path, RUN, RECORD)
    DAMAGES[damage](folder / "runs" / "drive" / "healthy" / name)
    with pytest.raises(AnymodalError, match="healthy"):
        list(load_scorecard(folder).runs[0].records)


@pytest.mark.parametrize("name", ["../../../../secret", "/etc/passwd", "a\0b", "0-0.jpg/../x", ""])
def test_a_report_holds_no_file_of_this_machine(name: str, tmp_path: Path) -> None:
    worst = {**WORST, "pictures": {"rgb": name}}
    with pytest.raises(RunError, match="worst has the picture"):
        load_scorecard(scorecard(tmp_path, {**RUN, "worst": [worst]}, RECORD))


def test_nor_one_that_a_picture_is_a_link_to(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("nobody else's")
    worst = {**WORST, "pictures": {"rgb": "0-0.jpg"}}
    folder = scorecard(tmp_path / "card", {**RUN, "worst": [worst]}, RECORD)
    pictures = folder / "runs" / "drive" / "healthy" / "worst"
    pictures.mkdir()
    (pictures / "0-0.jpg").symlink_to(secret)
    page = write_report(load_scorecard(folder), None, "").read_text()
    assert base64.b64encode(secret.read_bytes()).decode() not in page


WRITTEN = ["report.html", "scorecard.json", "scorecard.csv"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_scorecard_is_written_into_its_folder_and_nowhere_else(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    folder = scorecard(tmp_path / "card", RUN, RECORD)
    (folder / name).symlink_to(elsewhere)
    done = CliRunner().invoke(main, ["evaluate", "--from", str(folder)])
    assert done.exit_code == 0, done.output
    assert elsewhere.read_text() == "not ours"
    assert all((folder / made).is_file() for made in WRITTEN)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", WRITTEN)
def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    folder = scorecard(tmp_path, RUN, RECORD)
    os.mkfifo(folder / name)
    done = CliRunner().invoke(main, ["evaluate", "--from", str(folder)])
    assert done.exit_code == 2
    assert "no regular file" in done.output and name in done.output


@pytest.mark.parametrize("place", ["runs", "runs/drive", "runs/drive/healthy"])
def test_a_run_is_neither_written_nor_removed_where_a_link_leads(
    tmp_path: Path, place: str
) -> None:
    scorecard(tmp_path / "elsewhere", RUN, RECORD)
    link = tmp_path / "card" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere" / place)
    with (
        pytest.raises(RunError, match="is a link to elsewhere"),
        new_run(tmp_path / "card" / "runs" / "drive" / "healthy"),
    ):
        pass
    assert (tmp_path / "elsewhere" / "runs" / "drive" / "healthy" / "run.json").is_file()


def test_a_run_that_lies_above_all_folders_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In /tmp there is no scorecard three folders up."""
    scorecard(tmp_path, RUN, RECORD)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    monkeypatch.setattr(Path, "resolve", lambda path, strict=False: Path("/tmp"))
    assert len(load_scorecard(tmp_path).runs) == 1


def test_what_is_asked_of_thousands_of_runs_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each run, whether any other of its bag has a timeline: with 3000 that took minutes."""
    asked = []
    monkeypatch.setattr(selection, "is_timeline", lambda case: bool(asked.append(case)))
    plain = {name: value for name, value in RUN.items() if name != "format"}
    runs = [build(Run, {**plain, "case": f"case {number}"}, "") for number in range(50)]
    assert selection.Selection().runs(runs) == []
    assert len(asked) <= len(runs)
