from __future__ import annotations

import dataclasses
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.report.tables import by_subset
from anymodal_seg_ros.evaluation.scorecard.runs.records import Transition
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import InputFile, Run, WorstMask
from anymodal_seg_ros.evaluation.scorecard.scorecard import Scorecard
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import parse_gate

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from anymodal_seg_ros.evaluation.scorecard.report.plots import thinned
from anymodal_seg_ros.evaluation.scorecard.report.report import cell, write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
EVIL = "<script>alert(1)</script>--><img src=x onerror=alert(2)>\"'$\\frac{}$"


class Elements(HTMLParser):
    """Collects the tags, ids and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.add(value or "")
            if key in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")
            if key.startswith("on"):
                self.handlers.append(key)


def card(folder: Path, **more: Any) -> Scorecard:
    """A scorecard with everything that a report can show."""
    counts = np.array([[8, 7], [10, 10], [10, 10]], np.int64)
    votes = {"rgb": 0.6, "thermal": 0.4}
    masks = [mask_record(n / 10, overlap=counts, votes=votes, wait_ms=n) for n in range(100)]
    window = FaultWindow("thermal", "off", 2.0, 4.0)
    states = [Transition("thermal", "OK", 0.1), Transition("thermal", "STALE", 2.5)]
    well = made_run(masks, condition="night")
    ill = made_run(masks, [window], states, case="faults", condition="night")
    alone = [mask_record(n / 10, ("rgb",), overlap=counts) for n in range(100)]
    runs = [
        _complete(run, folder, **more) for run in (well, ill, made_run(alone, case="subset-rgb"))
    ]
    return Scorecard(folder, tuple(runs), ("torn: damaged",))


def _complete(run: Run, folder: Path, **more: Any) -> Run:
    worst = WorstMask(1.0, 0.1, "miou", "rgb", {"rgb": "OK"}, {"rgb": "0-0.jpg"})
    folder.joinpath("worst").mkdir(exist_ok=True)
    (folder / "worst" / "0-0.jpg").write_bytes(b"a picture")
    values: dict[str, Any] = {
        "settings": {"model": "tiny", "engine": "onnxruntime"},
        "inputs": (InputFile("bag.mcap", "ab" * 32, 7),),
        "worst": (worst,),
        "folder": folder,
        **more,
    }
    complete = dataclasses.replace(run, **values)
    complete.__dict__["records"] = run.records
    return complete


def gate() -> Any:
    return parse_gate({"version": 1, "checks": [{"figure": "miou", "min": 0.99}]})


def test_everything_is_in_the_report(tmp_path: Path) -> None:
    scorecard = card(tmp_path)
    path = write_report(scorecard, scorecard.judge(gate()), "anymodal-seg evaluate drive")
    text = path.read_text()
    page = Elements(text)
    assert page.ids >= {
        "summary",
        "verdict",
        "gate",
        "faults",
        "delays",
        "fault-numbers",
        "subsets",
        "timeline-1",
        "latency",
        "classes",
        "figures",
        "settings",
        "inputs",
    }
    assert page.tags.count("svg") == 4
    for words in ("torn: damaged", "anymodal-seg evaluate drive", "ab" * 32, "STALE", "night"):
        assert words in text


def test_subsets_are_those_of_sensors_that_are_well() -> None:
    def masks(hits: int) -> list[Any]:
        counts = np.array([[hits, 10], [10, 10], [10, 10]], np.int64)
        return [mask_record(n / 10, overlap=counts) for n in range(100)]

    window = FaultWindow("thermal", "stuck", 2.0, 4.0)
    runs = [made_run(masks(10)), made_run(masks(0), [window], case="faults")]
    (row,) = by_subset(runs)
    assert (row.where.subset, row.value.value) == ("rgb+thermal", 1.0)


def test_subsets_are_compared_over_the_same_bags(tmp_path: Path) -> None:
    def masks(sensors: tuple[str, ...], hits: int) -> list[Any]:
        counts = np.array([[hits, 10], [10, 10], [10, 10]], np.int64)
        return [mask_record(n / 10, sensors, overlap=counts) for n in range(10)]

    both = ("rgb", "thermal")
    swept = [made_run(masks(both, 10)), made_run(masks(("rgb",), 9), case="subset-rgb")]
    other = made_run(masks(both, 1), bag="another drive")
    rows = {row.where.subset: row.value.value for row in by_subset([*swept, other])}
    assert rows["rgb+thermal"] == 1.0, "not what another drive had, of which no subset was tried"
    assert {row.where.subset: row.value.value for row in by_subset(swept)} == rows
    card = Scorecard(tmp_path, tuple(_complete(run, tmp_path) for run in (*swept, other)))
    page = write_report(card, None, "").read_text()
    assert "without faults, of drive, whose subsets were tried." in page
    assert "rgb+thermal (10)" in page, "of how many masks a row is made"
    alone = Scorecard(tmp_path, card.runs[:2])
    assert (
        "with a label), without faults.</figcaption>" in write_report(alone, None, "").read_text()
    )


def test_what_lacks_in_the_cases_of_a_sweep_is_not_said_of_the_bag(tmp_path: Path) -> None:
    cases = ("healthy", "faults", "faults-shutter", "subset-rgb", "fault-off-rgb-0")
    runs = [
        dataclasses.replace(made_run([], case=case), notes=(f"a note of {case}",)) for case in cases
    ]
    for run in runs:
        run.__dict__["records"] = ()
    page = write_report(Scorecard(tmp_path, tuple(runs)), None, "").read_text()
    told = [case for case in cases if f"a note of {case}<" in page]
    assert told == ["healthy", "faults", "faults-shutter"]


def test_labels_of_some_pictures_are_seen_over_time(tmp_path: Path) -> None:
    counts = np.array([[5, 5], [9, 9], [9, 9]], np.int64)
    masks = [mask_record(n / 10, overlap=None if n % 10 else counts) for n in range(90)]
    page = write_report(Scorecard(tmp_path, (made_run(masks),)), None, "").read_text()
    assert "mIoU of every mask with a label" in page
    assert page.count('style="fill: #264653') == 9, "a point each, for no line leads to any"


def test_hours_with_labels_of_some_pictures_are_thinned_to_what_is_known() -> None:
    times = np.arange(6000.0)
    scores = np.where(times % 100 < 2, 0.5, np.nan)
    shown, drawn = thinned(times, scores)
    assert len(shown) == 3000
    assert np.isfinite(drawn).sum() == 60
    assert np.nanmax(drawn) == np.nanmin(drawn) == 0.5


def test_what_passed_is_told_with_its_unit(tmp_path: Path) -> None:
    scorecard = card(tmp_path)
    checks = parse_gate({"version": 1, "checks": [{"figure": "rate_hz", "min": 1}]})
    page = write_report(scorecard, scorecard.judge(checks), "").read_text()
    assert "passed</td><td>10 Hz</td>" in page


def test_nothing_is_fetched_and_nothing_runs(tmp_path: Path) -> None:
    page = Elements(write_report(card(tmp_path), None, "").read_text())
    assert "script" not in page.tags
    assert page.handlers == []
    assert [link for link in page.links if not link.startswith(("data:", "#"))] == []


def test_what_comes_from_a_bag_is_escaped(tmp_path: Path) -> None:
    scorecard = card(
        tmp_path,
        sensors=(EVIL, "thermal"),
        classes=(EVIL, "sky"),
        ground_truth=EVIL,
        bag=EVIL,
        condition=EVIL,
        settings={"model": EVIL, "engine": EVIL},
        inputs=(InputFile(EVIL, EVIL, 7),),
    )
    text = write_report(scorecard, scorecard.judge(gate()), EVIL).read_text()
    page = Elements(text)
    assert "script" not in page.tags
    assert page.handlers == []
    assert "<script>alert" not in text


def test_the_same_scorecard_gives_the_same_report(tmp_path: Path) -> None:
    first = write_report(card(tmp_path), None, "").read_text()
    assert write_report(card(tmp_path), None, "").read_text() == first


def outcome(**values: Any) -> Any:
    defaults = {"reaction_s": 0.1, "lost_during": 0.0, "lost": 0, "detected_as": ("STALE",)}
    defaults |= {"tainted": 0}
    return type("Outcome", (), {**defaults, **values})()


@pytest.mark.parametrize(
    ("values", "color"),
    [
        ({}, "good"),
        ({"reaction_s": float("inf")}, "so"),
        ({"reaction_s": float("inf"), "lost_during": 0.3}, "bad"),
        ({"reaction_s": float("inf"), "lost_during": None}, "bad"),
        ({"lost": 1}, "bad"),
    ],
)
def test_colours_of_faults(values: dict[str, Any], color: str) -> None:
    assert cell([outcome(**values)]).css == color
    assert cell([]).css == "none"


def test_a_sensor_that_was_in_no_mask_before_is_not_said_to_have_stayed() -> None:
    found = cell([outcome(reaction_s=None, detected_as=())])
    assert found.text.startswith("nothing of it was in the masks")
    assert found.css == "good"


def test_a_fault_that_was_too_short_to_be_judged_is_not_said_to_be_withheld() -> None:
    found = cell([outcome(reaction_s=None, tainted=3, lost_during=0.1, detected_as=())])
    assert found.text == "too short to tell · −0.100 mIoU"
    assert found.css == "bad"


@pytest.mark.parametrize(("labelled", "words"), [(True, "mIoU"), (False, "share of pixels kept")])
def test_one_mask_is_seen_over_time_and_named_as_what_is_drawn(
    tmp_path: Path, labelled: bool, words: str
) -> None:
    counts = np.array([[5, 5], [9, 9], [9, 9]], np.int64)
    only = mask_record(0.0, overlap=counts if labelled else None, kept=(8, 9))
    run = made_run([only], length_s=0.0)
    page = write_report(Scorecard(tmp_path, (run,)), None, "").read_text()
    assert f"drive, healthy: {words} of every mask" in page
    assert "fill: #264653" in page, "a point, where a line would have no length"


def test_notes_of_several_bags_name_theirs(tmp_path: Path) -> None:
    runs = [
        dataclasses.replace(made_run([], bag=name), notes=("rgb: no message",))
        for name in ("one", "other")
    ]
    for run in runs:
        run.__dict__["records"] = ()
    page = write_report(Scorecard(tmp_path, tuple(runs)), None, "").read_text()
    assert '<p class="note">other: rgb: no message</p>' in page
    alone = write_report(Scorecard(tmp_path, (runs[0],)), None, "").read_text()
    assert '<p class="note">rgb: no message</p>' in alone


def test_all_models_of_a_scorecard_are_named(tmp_path: Path) -> None:
    one = made_run([mask_record(0.0)], bag="drive-one")
    settings = {"model": "one 1.0", "engine": "onnxruntime"}
    one = dataclasses.replace(one, settings=settings, folder=tmp_path)
    other = dataclasses.replace(one, bag="drive-other", settings={**settings, "model": "other 2"})
    for run in (one, other):
        run.__dict__["records"] = (mask_record(0.0),)
    page = write_report(Scorecard(tmp_path, (one, other)), None, "").read_text()
    assert "<td>one 1.0, other 2</td>" in page
    assert "<td>onnxruntime</td>" in page


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.slow
def test_a_browser_shows_it_without_a_complaint(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    scorecard = card(tmp_path, classes=(EVIL, "sky"), bag=EVIL)
    path = write_report(scorecard, scorecard.judge(gate()), EVIL)
    quiet = ("--disable-gpu", "--no-sandbox", "--disable-background-networking")
    command = [CHROMIUM, "--headless", *quiet, "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, "not even a refusal of the page's own security policy"
    page = Elements(done.stdout)
    assert page.tags.count("svg") == 4
    assert {"summary", "faults", "subsets", "timeline-1", "latency"} <= page.ids


def test_the_title_of_a_fleet_names_some_bags_and_counts_the_others(tmp_path: Path) -> None:
    runs = tuple(made_run([], bag=f"drive_{n}") for n in range(300))
    text = write_report(Scorecard(tmp_path, runs), None, "").read_text()
    assert "<h1>Scorecard: drive_0, drive_1, drive_2, drive_3, drive_4 and 295 more</h1>" in text
    assert "300 replays of 300 bags" in text
    assert "<h2>Over time</h2>" not in text, "there is not one mask"
    text = write_report(Scorecard(tmp_path, runs[:1]), None, "").read_text()
    assert "1 replay of 1 bag " in text
