from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fixtures.bag_files import write_bag
from fixtures.failing_engine import fail_after
from fixtures.scenes import scene
from fixtures.scored_bags import HEIGHT, PARAMETERS, START_NS, WIDTH, write_scored_bag
from fixtures.tiny_model import write_tiny_model
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anymodal_seg_ros.cli.evaluation import conclusion
from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter, latched
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.scorecard.replays import agreement
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import load_run
from anymodal_seg_ros.evaluation.scorecard.scorecard import Scorecard, load_scorecard
from anymodal_seg_ros.evaluation.scorecard.suite import Entry, config_of, entry_of
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.rosbags import make
from anymodal_seg_ros.messages.values import Message
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns

TIMELINE = """
faults:
  - {sensor: thermal, kind: "off", start_s: 1.0, end_s: 2.0}
"""


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


def evaluate(*args: object, code: int = 0) -> Result:
    result = invoke("evaluate", *args)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return write_scored_bag(tmp_path_factory.mktemp("scored"), tiny_model)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, bag: Path) -> Path:
    """A scorecard with and without faults; nobody writes to it."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "t.yaml").write_text(TIMELINE)
    evaluate(bag, "--faults", folder / "t.yaml", "--out", folder / "card")
    return folder / "card"


def write_gate(path: Path, *checks: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "checks": list(checks)}))
    return path


def deterministic(run: Path) -> list[dict[str, Any]]:
    """The lines of a run without what was measured on this machine."""
    lines = [json.loads(line) for line in (run / "masks.jsonl").open()]
    return [{k: v for k, v in x.items() if k not in ("network_ms", "process_ms")} for x in lines]


def test_one_command_gives_the_figures(evaluated: Path) -> None:
    card = load_scorecard(evaluated)
    assert [run.case for run in card.runs] == ["healthy", "faults"]
    assert card.value("masks", case="healthy") == 40
    assert card.value("masks_lost") == 0
    assert card.value("false_alarms_per_hour") == 0
    assert 0.0 < card.value("reaction_s", sensor="thermal", fault="off") < 0.3
    assert card.value("time_in_state", sensor="thermal", state="alive", window=(0.5, 1.0)) == 1.0
    # The labels are of class 3 (pole) alone: its IoU is the share of the pixels that are.
    pixels = sum(r.overlap[0, 3] for r in card.runs[0].records if r.overlap is not None)
    expected = pixels / (40 * HEIGHT * WIDTH)
    assert card.value("miou", class_name="pole", case="healthy") == pytest.approx(expected)


def test_tables_lie_beside_the_report(evaluated: Path) -> None:
    content = json.loads((evaluated / "scorecard.json").read_text())
    assert {run["case"] for run in content["runs"]} == {"healthy", "faults"}
    (fault,) = content["faults"]
    assert (fault["fault"], fault["sensor"]) == ("off", "thermal")
    rows = list(csv.DictReader((evaluated / "scorecard.csv").open()))
    assert any(row["figure"] == "miou" and row["where"] == "class pole" for row in rows)
    (reaction,) = [row for row in rows if row["figure"] == "fault.reaction_s"]
    assert reaction["where"] == "bag drive, case faults, fault off, sensor thermal"
    assert reaction["unit"] == "s"
    assert (evaluated / "report.html").read_text().startswith("<!doctype html>")
    assert "evaluate" not in (evaluated / "scorecard.csv").read_text()


def test_the_same_bag_gives_the_same_lines_also_from_two_processes(
    evaluated: Path, bag: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text(TIMELINE)
    arguments = ("--faults", tmp_path / "t.yaml", "--workers", 2, "--out", tmp_path / "card")
    evaluate(bag, *arguments)
    for case in ("healthy", "faults"):
        run = Path("runs") / "drive" / case
        assert deterministic(tmp_path / "card" / run) == deterministic(evaluated / run)


def test_what_is_finished_is_not_done_again(bag: Path, tmp_path: Path) -> None:
    sweep = ("--sweep", "--kinds", "off", "--fault-seconds", 1, "--out", tmp_path)
    evaluate(bag, *sweep)
    run = tmp_path / "runs" / "drive"
    times = {path: path.stat().st_mtime_ns for path in run.glob("*/run.json")}
    assert {p.parent.name for p in times} == {
        "healthy",
        "subset-rgb",
        "subset-thermal",
        "fault-off-rgb-0",
        "fault-off-thermal-0",
    }
    shutil.rmtree(run / "fault-off-rgb-0")
    evaluate(bag, *sweep)
    after = {path: path.stat().st_mtime_ns for path in run.glob("*/run.json")}
    changed = {path.parent.name for path in after if times[path] != after[path]}
    assert changed == {"fault-off-rgb-0"}
    card = load_scorecard(tmp_path)
    assert card.value("masks", case="subset-thermal") == 40
    assert card.measure("miou", subset="thermal").value is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_is_no_failure_and_can_be_gone_on_with(
    number: signal.Signals, bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> list[object]:
        signal.raise_signal(number)
        return []

    # Whoever starts the tests in the background may have them ignore Ctrl-C.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("anymodal_seg_ros.cli.evaluation.evaluate.run_jobs", stop)
            stopped = evaluate(bag, "--out", tmp_path / "card", code=2)
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
    assert "the same command goes on from there" in " ".join(stopped.output.split())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "as it was before"
    evaluate(bag, "--out", tmp_path / "card")


def test_without_labels_the_rest_is_still_there(tiny_model: Path, tmp_path: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 12, labels=False)
    result = evaluate(bag, "--out", tmp_path / "card")
    assert "no ground truth" in result.output
    card = load_scorecard(tmp_path / "card")
    assert card.measure("miou").value is None
    assert card.value("masks") == 12
    assert card.value("temporal_consistency") > 0.0
    content = json.loads((tmp_path / "card" / "scorecard.json").read_text())
    (miou,) = [
        f
        for f in content["figures"]
        if f["figure"] == "miou" and set(f) == {"figure", "value", "reason"}
    ]
    assert miou == {"figure": "miou", "value": None, "reason": "no ground truth"}
    gate = write_gate(tmp_path / "gate.yaml", {"figure": "miou", "min": 0.0})
    evaluate("--from", tmp_path / "card", "--require", gate, code=2)


def test_why_a_sensor_is_left_out_of_most_masks_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """It is well, so no state tells it: its counts are of a camera of twelve bits."""
    path = write_scored_bag(tmp_path, tiny_model, 1)
    rig = (path / "rig.yaml").read_text()
    shutil.rmtree(path)
    rng = np.random.default_rng(0)
    with ImageBagWriter(path) as bag:
        for number in range(40):
            stamp = START_NS + number * 100_000_000
            deep = rng.integers(0, 3000, (HEIGHT, WIDTH, 3), np.uint16)
            warm = Image(scene("thermal", number, HEIGHT, WIDTH), "mono16")
            bag.write("/rgb/image", Image(deep, "rgb16"), stamp, stamp + 2_000_000, "rgb")
            bag.write("/thermal/image", warm, stamp, stamp + 5_000_000, "thermal")
    (path / "rig.yaml").write_text(rig)
    told = " ".join(evaluate(path, "--out", tmp_path / "card").output.split())
    assert "drive: rgb: fused in" in told
    assert "set rig.sensors.rgb.counts.full_scale" in told
    assert "thermal:" not in told


def test_a_recording_that_was_paused_is_told(tiny_model: Path, tmp_path: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 3, name="whole")
    with ImageBagWriter(tmp_path / "paused") as paused, Bag(bag) as whole:
        for number, message in enumerate(whole.messages(["/rgb/image", "/thermal/image"])):
            later = 0 if number < 4 else 60_000_000_000
            decoded = whole.decode(message)
            image = decode_image(decoded)
            stamp = stamp_ns(decoded.header)
            paused.write(message.topic, image, stamp + later, message.log_ns + later, "frame")
    rig = ("--params", bag / "rig.yaml")
    told = evaluate(tmp_path / "paused", *rig, "--out", tmp_path / "card").output
    assert "no sensor sent anything from 0.1 to 60.2 s" in " ".join(told.split())


def test_labels_from_a_folder_and_other_ids(bag: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels" / "rgb"
    labels.mkdir(parents=True)
    for number in range(10):
        stamp = START_NS + number * 100_000_000
        cv2.imwrite(str(labels / f"{stamp}.png"), np.full((HEIGHT, WIDTH), 42, np.uint8))
    result = evaluate(bag, "--labels", labels.parent, "--out", tmp_path / "a", code=2)
    assert "the label has the id 42" in " ".join(result.output.split())
    label_map = tmp_path / "map.yaml"
    label_map.write_text("42: pole\n7: ignore\n")
    arguments = ("--labels", labels.parent, "--label-map", label_map, "--out", tmp_path / "b")
    evaluate(bag, *arguments)
    run = load_run(tmp_path / "b" / "runs" / "drive" / "healthy")
    assert sum(record.overlap is not None for record in run.records) == 10


def test_labels_that_lack_are_counted(bag: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    for number in range(0, 40, 4):
        stamp = START_NS + number * 100_000_000
        cv2.imwrite(str(folder / f"{stamp}.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    result = evaluate(bag, "--labels", folder, "--out", tmp_path / "card")
    assert "10 of 40 masks have a label" in " ".join(result.output.split())
    late = tmp_path / "late.yaml"
    late.write_text("faults: [{sensor: rgb, kind: stuck, start_s: 9.0}]")
    told = evaluate(bag, "--faults", late, "--out", tmp_path / "whole").output
    assert "have a label" not in told
    assert "the fault stuck of rgb changes nothing: it begins at 9 s" in " ".join(told.split())


@pytest.mark.parametrize("damage", ["emptied", "cut", "junk"])
def test_a_run_whose_masks_were_damaged_is_not_judged(
    evaluated: Path, tmp_path: Path, damage: str
) -> None:
    card = shutil.copytree(evaluated, tmp_path / "card")
    (masks,) = card.glob("runs/*/healthy/masks.jsonl")
    lines = masks.read_text().splitlines(keepends=True)
    masks.write_text({"emptied": "", "cut": "".join(lines[:-3]), "junk": "{\n"}[damage])
    gate = write_gate(tmp_path / "gate.yaml", {"figure": "masks_lost", "max": 0})
    result = evaluate("--from", card, "--require", gate, code=2)
    assert "healthy/masks.jsonl is damaged" in " ".join(result.output.split())


def test_a_model_agrees_with_itself(bag: Path, tiny_model: Path, tmp_path: Path) -> None:
    told = evaluate(bag, "--agree-with", tiny_model, "--out", tmp_path).output
    assert "(agreement, no truth)" in " ".join(told.split())
    card = load_scorecard(tmp_path)
    assert card.value("miou") == 1.0
    assert "agreement" in card.runs[0].ground_truth
    other = write_tiny_model(tmp_path / "other", 24, 32)
    evaluate(bag, "--agree-with", other, "--out", tmp_path / "card")
    assert load_scorecard(tmp_path / "card").value("miou") < 1.0


def test_agreement_that_was_stopped_goes_on_and_a_bad_bag_does_not_end_it(
    bag: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (bag, "--agree-with", tiny_model, "--out", tmp_path / "card")
    with monkeypatch.context() as patch:
        writes = iter(range(5))
        real = agreement.write_picture
        patch.setattr(agreement, "write_picture", lambda *a: (real(*a), stop_after(writes)))
        evaluate(*asked, code=2)
    bad = tmp_path / "torn"
    bad.mkdir()
    (bad / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    (bad / "rig.yaml").write_text(PARAMETERS.format(model=tiny_model))
    told = evaluate(bad, *asked, code=2)
    assert "could not be evaluated: torn" in told.output
    assert load_scorecard(tmp_path / "card").value("miou") == 1.0
    before = sorted((tmp_path / "card" / "agreement").rglob("*.png"))
    other = write_tiny_model(tmp_path / "other", 24, 32)
    evaluate(bag, "--agree-with", other, *asked[3:])
    assert set(before) < set((tmp_path / "card" / "agreement").rglob("*.png")), "none is replaced"


def stop_after(writes: Iterator[int]) -> None:
    """Stop as with Ctrl-C when there is nothing left."""
    if next(writes, None) is None:
        raise KeyboardInterrupt


def test_a_slow_node_drops_frames(bag: Path, tmp_path: Path) -> None:
    evaluate(bag, "--latency", "fixed:250", "--out", tmp_path)
    card = load_scorecard(tmp_path)
    assert card.value("masks") < 25
    assert card.value("superseded") > 0
    assert card.value("masks_lost") > 0
    assert (
        "latency is 'soon'" in evaluate(bag, "--latency", "soon", "--out", tmp_path, code=2).output
    )


@pytest.mark.parametrize(
    ("check", "code", "words"),
    [
        ({"figure": "reaction_s", "fault": "off", "max": 0.3}, 0, "verdict: passed"),
        (
            {"figure": "reaction_s", "fault": "off", "max": 0.001},
            1,
            "FAILED: reaction_s (fault off)",
        ),
        ({"figure": "reaction_s", "fault": "stuck", "max": 9}, 2, "COULD NOT JUDGE"),
    ],
)
def test_a_run_can_be_judged_again(
    evaluated: Path, tmp_path: Path, check: dict[str, Any], code: int, words: str
) -> None:
    card = tmp_path / "card"
    shutil.copytree(evaluated, card)
    gate, junit = write_gate(tmp_path / "gate.yaml", check), tmp_path / "junit.xml"
    arguments = ("--from", card, "--require", gate, "--junit", junit)
    assert words in evaluate(*arguments, code=code).output
    assert "reaction_s" in junit.read_text()


def test_a_baseline_that_was_better_fails_the_gate(evaluated: Path, tmp_path: Path) -> None:
    gate = write_gate(tmp_path / "gate.yaml", {"figure": "masks", "case": "healthy", "max_drop": 0})
    card = tmp_path / "card"
    shutil.copytree(evaluated, card)
    healthy = card / "runs" / "drive" / "healthy"
    lines = healthy / "masks.jsonl"
    lines.write_text("".join(lines.open().readlines()[:-1]))
    described = json.loads((healthy / "run.json").read_text())
    described["masks"] -= 1
    (healthy / "run.json").write_text(json.dumps(described))
    evaluate("--from", card, "--require", gate, "--baseline", evaluated, code=1)
    worse = card / "runs" / "drive" / "faults" / "masks.jsonl"
    records = [json.loads(line) for line in worse.open()]
    for record in records:
        record["overlap"][0] = [0] * len(record["overlap"][0])  # not one pixel is hit
    worse.write_text("".join(json.dumps(record) + "\n" for record in records))
    run = evaluated / "runs" / "drive" / "healthy" / "run.json"
    dropped = evaluate("--from", card, "--baseline", run, "--max-drop", 0.01, code=1)
    assert "FAILED: miou" in dropped.output
    evaluate("--from", card, "--baseline", run, "--max-drop", 1.0)
    assert "Give --baseline" in evaluate("--from", card, "--max-drop", 0.1, code=2).output


def test_a_bad_bag_is_named_and_the_others_go_on(bag: Path, tmp_path: Path) -> None:
    bad = tmp_path / "torn"
    bad.mkdir()
    (bad / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    result = evaluate(bad, bag, "--out", tmp_path / "card", code=2)
    assert "could not be evaluated: torn" in result.output
    card = load_scorecard(tmp_path / "card")
    assert [run.bag for run in card.runs] == ["drive"]
    assert len(card.unreadable) == 1


def test_faults_of_several_bags_are_told_with_theirs(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    faults = tmp_path / "faults.yaml"
    faults.write_text(TIMELINE)
    other = tmp_path / "other"
    shutil.copytree(bag, other)
    out = ("--out", tmp_path / "card")
    told = evaluate(bag, other, "--faults", faults, *out).output
    rows = [[cell.strip() for cell in line.split("│")] for line in told.splitlines()]
    named = [row[1:4] for row in rows if len(row) > 4 and row[2] == "off"]
    assert named == [["drive", "off", "thermal"], ["other", "off", "thermal"]]
    monkeypatch.setattr(conclusion, "_MOST_FAULTS", 1)
    told = " ".join(evaluate("--from", tmp_path / "card").output.split())
    assert "1 more fault is in" in told


def test_what_is_wrong_with_every_case_of_a_bag_is_told_once(bag: Path, tmp_path: Path) -> None:
    label_map = tmp_path / "map.yaml"
    label_map.write_text("road: 0\n")
    asked = ("--label-map", label_map, "--sweep", "--kinds", "off", "--out", tmp_path / "card")
    told = " ".join(evaluate(bag, *asked, code=2).output.split())
    assert (
        told.count("could not be evaluated") == told.count("the key is 'road': expected ids") == 1
    )
    assert "could not be evaluated: drive healthy and 2 more cases: " in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either BAGS"),
        (["--from", "nowhere"], "nowhere is no scorecard"),
        (["BAG", "--model", "no_such"], "no_such"),
        (["BAG", "--model", "rig_nano"], "did you mean rig-nano?"),
        (["BAG", "--engine", "onnxrt"], "did you mean onnxruntime?"),
        (["BAG", "--sweep", "--kinds", "stuk"], "did you mean stuck?"),
        (["BAG", "--labels", "no_folder"], "there is no folder of that name"),
        (["BAG", "--condition", "a/b"], "--condition is 'a/b'"),
        (["BAG", "--sweep", "--moments", "x"], "--moments is 'x'"),
        (["BAG", "--sweep", "--kinds", "off,of"], "no kind of fault is called 'of'"),
        (["BAG", "--require", "no.yaml"], "no.yaml"),
        (["BAG", "--labels", "/no/topic"], "has no labels on /no/topic"),
    ],
)
def test_what_cannot_be_judged_exits_with_2(
    bag: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    given = [bag if argument == "BAG" else argument for argument in arguments]
    result = evaluate(*given, "--out", tmp_path / "card", code=2)
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["BAG", "--kinds", "stuck"], "--kinds changes nothing without --sweep"),
        (["BAG", "--no-subsets"], "--no-subsets changes nothing without --sweep"),
        (["BAG", "--rate", "2"], "--rate changes nothing without --live"),
        (["BAG", "--junit", "j.xml"], "--junit changes nothing unless something is required"),
        (["BAG", "--baseline", "b"], "--baseline changes nothing unless something is required"),
        (["--suite", "s.yaml", "--model", "m"], "--model changes nothing with --suite"),
        (["--suite", "s.yaml", "--sweep"], "--sweep changes nothing with --suite"),
        (["--from", "card", "--engine", "torch"], "--engine changes nothing with --from"),
        (["BAG", "--live", "--pipeline", "naive"], "--pipeline changes nothing with --live"),
        (["BAG", "--live", "--latency", "measured"], "--latency changes nothing with --live"),
        (["BAG", "--live", "--agree-with", "m"], "--agree-with changes nothing with --live"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    bag: Path, arguments: list[str], words: str
) -> None:
    given = [bag if argument == "BAG" else argument for argument in arguments]
    assert words in " ".join(evaluate(*given, code=2).output.split())


@pytest.mark.parametrize("option", ["--out", "--junit"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_replayed(
    bag: Path, tmp_path: Path, option: str
) -> None:
    gate = write_gate(tmp_path / "gate.yaml", {"figure": "masks", "min": 1})
    (tmp_path / "taken").write_text("a file")
    where = {"--out": tmp_path / "card", "--junit": tmp_path / "junit.xml"}
    where[option] = tmp_path / "taken" / "inside"
    words = [word for pair in where.items() for word in pair]
    result = evaluate(bag, "--require", gate, *words, code=2)
    assert "nothing can be written into" in result.output
    assert not list(tmp_path.rglob("run.json"))


def test_a_bag_of_results_that_cannot_be_is_told_before_anything_is_replayed(
    bag: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "card")
    result = evaluate(bag, *out, "--bag", bag, code=2)
    assert "exists already: choose another name" in result.output
    result = evaluate(bag, bag, *out, "--bag", tmp_path / "results", code=2)
    assert "--bag is for one bag" in result.output
    (tmp_path / "taken").write_text("a file")
    result = evaluate(bag, *out, "--bag", tmp_path / "taken" / "results", code=2)
    assert "nothing can be written into" in result.output
    assert not list(tmp_path.rglob("run.json"))


def test_somebody_elses_folder_is_left_alone(bag: Path, tmp_path: Path) -> None:
    mine = tmp_path / "runs" / "drive" / "healthy" / "thesis.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    evaluate(bag, "--out", tmp_path, code=2)
    assert mine.read_text() == "years of work"


def test_the_masks_are_those_of_run(bag: Path, tmp_path: Path) -> None:
    evaluate(bag, "--out", tmp_path / "card", "--bag", tmp_path / "results")
    arguments = ("--params-file", bag / "rig.yaml", "--out", tmp_path / "masks")
    assert invoke("run", bag, *arguments).exit_code == 0
    with Bag(tmp_path / "results") as opened:
        written = [opened.decode(m) for m in opened.messages(["/segmentation_node/mask"])]
    files = sorted((tmp_path / "masks" / "masks").iterdir())
    assert len(files) == len(written) == 40
    for message, path in zip(written, files, strict=True):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(np.asarray(message.data).reshape(HEIGHT, WIDTH), mask)


@pytest.mark.parametrize("name", ["results", "out.mcap"])
def test_results_as_a_bag(name: str, bag: Path, tmp_path: Path) -> None:
    evaluate(bag, "--out", tmp_path / "card", "--bag", tmp_path / name)
    assert (tmp_path / name).is_file() == name.endswith(".mcap"), "a file where one is asked for"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with Bag(tmp_path / name) as opened, Bag(bag) as recorded:
        node = "/segmentation_node"
        for topic in ("mask", "overlay", "modality_status"):
            assert opened.count([f"{node}/{topic}"]) == 40
        for topic in recorded.topics:
            assert opened.count([topic]) == recorded.count([topic])
        mask = opened.decode(next(iter(opened.messages([f"{node}/mask"]))))
        assert mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec == START_NS
        assert (mask.height, mask.width, mask.encoding) == (HEIGHT, WIDTH, "mono8")
        status = opened.decode(next(iter(opened.messages([f"{node}/modality_status"]))))
        assert [s.name for s in status.status] == ["rgb", "thermal", "mask"]
        health = [opened.decode(m) for m in opened.messages(["/diagnostics"])]
        assert len(health) == 4, "once a second"
        names = [s.name for s in health[0].status]
        assert names == ["segmentation_node: sensor rgb", "segmentation_node: sensor thermal"]
    evaluate(bag, "--out", tmp_path / "card", "--bag", tmp_path / name, code=2)


def test_somebody_elses_files_are_kept_and_what_is_made_anew_is_told(
    bag: Path, tiny_model: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    told = evaluate(bag, "--out", mine, code=2)
    assert "holds no scorecard but chapter.tex: name a new" in " ".join(told.output.split())
    assert [path.name for path in mine.iterdir()] == ["chapter.tex"]

    asked = (bag, "--out", tmp_path / "card")
    assert "made anew" not in evaluate(*asked).output
    assert "made anew" not in evaluate(*asked).output, "it is taken as it is"
    told = evaluate(*asked, "--labels", "none")
    assert "drive/healthy in" in told.output and "made anew" in told.output
    assert load_scorecard(tmp_path / "card").measure("miou").value is None


def test_several_parameter_files_are_merged_as_the_node_merges_them(
    bag: Path, tiny_model: Path, tmp_path: Path
) -> None:
    rig, other = tmp_path / "rig.yaml", tmp_path / "other.yaml"
    rig.write_text(PARAMETERS.format(model="no_such_model"))
    content = {"model": str(tiny_model), "rig": {"sensors": {"rgb": {"expected_hz": 20.0}}}}
    other.write_text(yaml.safe_dump({"/**": {"ros__parameters": content}}))
    merged = ("--params", rig, "--params", other)
    evaluate(bag, *merged, "--out", tmp_path / "card")
    (run,) = load_scorecard(tmp_path / "card").runs
    assert run.sensors == ("rgb", "thermal"), "of the first file"
    assert run.period_s == {"rgb": 0.05, "thermal": 0.1}
    found = invoke("inspect", bag, *merged)
    assert "but expected_hz of rgb is 20" in " ".join(found.output.split()), found.output
    entry = entry_of({"bags": ["drive"], "params": ["rig.yaml", "other.yaml"]})
    assert config_of(bag, entry, tmp_path).config.model == str(tiny_model)
    assert entry_of({"params": "rig.yaml"}).params == ("rig.yaml",)


@pytest.mark.parametrize("limit", [{"trigger": "rate", "trigger_hz": 5.0}, {"max_rate_hz": 5.0}])
def test_masks_that_were_not_promised_are_not_missed(
    bag: Path, tmp_path: Path, limit: dict[str, Any]
) -> None:
    fewer = tmp_path / "fewer.yaml"
    fewer.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"rig": limit}}}))
    given = ("--params", bag / "rig.yaml", "--params", fewer)
    evaluate(bag, *given, "--out", tmp_path / "card")
    card = load_scorecard(tmp_path / "card")
    assert 19 <= card.value("masks") <= 21
    assert card.value("masks_lost") == 0


def test_masks_are_missed_from_the_first_frame_of_the_bag_on(bag: Path, tmp_path: Path) -> None:
    timeline = tmp_path / "dead.yaml"
    timeline.write_text(
        "faults:\n"
        '  - {sensor: rgb, kind: "off", start_s: 0.0, end_s: 1.0}\n'
        '  - {sensor: thermal, kind: "off", start_s: 0.0, end_s: 1.0}\n'
    )
    evaluate(bag, "--faults", timeline, "--out", tmp_path / "card")
    card = load_scorecard(tmp_path / "card")
    assert card.value("masks_lost", case="healthy") == 0
    assert card.value("masks_lost", case="faults") == 10
    assert card.value("masks_lost", case="faults", window=(0.0, 0.5)) == 5


SUITE = """
version: 1
include: [more.yaml]
defaults: {condition: sun}
entries:
  - {bags: [drive], faults: [t.yaml, u.yaml], name: ill}
  - {bags: [drive], condition: night, models: [MODEL, OTHER]}
"""


def test_a_suite_crosses_bags_models_and_timelines(
    bag: Path, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(bag, tmp_path / "drive")
    other = write_tiny_model(tmp_path / "small", 24, 32)
    for name in ("t.yaml", "u.yaml"):
        (tmp_path / name).write_text(TIMELINE)
    text = SUITE.replace("MODEL", str(tiny_model)).replace("OTHER", other.name)
    (tmp_path / "suite.yaml").write_text(text)
    (tmp_path / "more.yaml").write_text("version: 1\nentries: [{bags: [drive]}]")
    evaluate("--suite", tmp_path / "suite.yaml", "--out", tmp_path / "card")
    card = load_scorecard(tmp_path / "card")
    assert {(run.bag, run.case, run.condition) for run in card.runs} == {
        ("drive", "healthy", "sun"),
        ("ill", "healthy", "sun"),
        ("ill", "faults-t", "sun"),
        ("ill", "faults-u", "sun"),
        ("drive-tiny", "healthy", "night"),
        ("drive-small", "healthy", "night"),
    }
    assert card.value("masks", condition="night") == 80


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 3", "expected 'version: 1'"),
        ("version: 1\nentries: []", "has no entries"),
        ("version: 1\nentries: [{}]", "entry 1: bags is missing"),
        ("version: 1\nentries: [{bags: [a], model: b}]", "unknown parameter model"),
        ("version: 1\ninclude: [suite.yaml]", "included by itself"),
        ("version: 1\nentries: [{bags: [a], condition: a/b}]", "condition is 'a/b'"),
    ],
)
def test_a_suite_is_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "suite.yaml").write_text(text)
    result = evaluate("--suite", tmp_path / "suite.yaml", "--out", tmp_path / "card", code=2)
    assert words in " ".join(result.output.split())


def test_the_parameters_beside_one_file_of_a_bag_are_taken(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    of_file, of_folder = (config_of(path, Entry(), Path()) for path in (file, bag))
    assert of_file == of_folder
    assert list(of_file.config.rig.sensors) == ["rgb", "thermal"]


def test_scorecards_side_by_side(evaluated: Path, bag: Path, tmp_path: Path) -> None:
    told = evaluate(bag, "--labels", "none", "--out", tmp_path / "card").output
    assert "no ground truth: --labels names it, --agree-with MODEL compares" in told
    result = invoke("compare", evaluated, tmp_path / "card", "--csv", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    rows = {(r["figure"], r["where"]): r for r in csv.DictReader((tmp_path / "t.csv").open())}
    assert rows["masks", ""]["card"] == rows["masks", ""]["card-2"] == "40.0"
    assert rows["miou", ""]["card-2"] == "", "no ground truth is not 0"
    assert ("reaction_s", "fault off") in rows
    assert invoke("compare", evaluated).exit_code == 2


def test_tables_in_a_narrow_terminal_lose_no_digit(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    for table in (("evaluate", "--from", evaluated), ("compare", evaluated, evaluated)):
        told = invoke(*table).output
        assert "…" not in told
        first_column = "".join(row.split("│")[1].strip() for row in told.splitlines() if "│" in row)
        assert "false_alarms_per_hour" in first_column


def test_the_fixture_reads_a_scorecard(evaluated: Path, pytestconfig: pytest.Config) -> None:
    from anymodal_seg_ros.evaluation import pytest_scorecard

    card = load_scorecard(evaluated / "scorecard.json")
    assert isinstance(card, Scorecard)
    assert callable(pytest_scorecard.pytest_addoption)


@pytest.mark.parametrize("kind", ["anymodal", "naive"])
def test_an_engine_that_fails_cannot_be_judged(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fail_after(monkeypatch, 7, MemoryError())
    write_gate(tmp_path / "gate.yaml", {"figure": "masks_lost", "max": 100})
    asked = ("--pipeline", kind, "--require", tmp_path / "gate.yaml", "--workers", "1")
    result = evaluate(bag, *asked, "--out", tmp_path / "card", code=2)
    assert "failed, MemoryError; see what" in " ".join(result.output.split())


def test_judging_again_writes_nowhere_else_and_says_so(evaluated: Path, tmp_path: Path) -> None:
    card = shutil.copytree(evaluated, tmp_path / "card")
    (card / "report.html").unlink()
    result = evaluate("--from", card, "--out", tmp_path / "new", code=2)
    assert "leave out --out, or judge a copy" in " ".join(result.output.split())
    assert not (tmp_path / "new").exists() and not (card / "report.html").exists()
    evaluate("--from", card / "scorecard.json", "--out", card)
    assert (card / "report.html").exists()


def test_a_scorecard_is_of_the_bag_that_was_asked_for_last(
    tiny_model: Path, tmp_path: Path
) -> None:
    first = write_scored_bag(tmp_path, tiny_model, 3, name="first")
    second = write_scored_bag(tmp_path, tiny_model, 4, name="second")
    out = ("--out", tmp_path / "card")
    evaluate(first, *out)
    told = " ".join(evaluate(second, *out).output.split())
    assert "not counted, for other commands made them: 1 of the runs" in told
    assert load_scorecard(tmp_path / "card").value("masks") == 4
    assert "first/healthy" in evaluate("--from", tmp_path / "card").output
    evaluate(first, second, *out)
    assert load_scorecard(tmp_path / "card").value("masks") == 7


def test_a_scorecard_is_not_compared_with_itself(evaluated: Path, bag: Path) -> None:
    before = (evaluated / "runs" / "drive" / "healthy" / "run.json").stat().st_mtime_ns
    against = ("--baseline", evaluated, "--max-drop", 0.01)
    for words in ((bag, "--out", evaluated), ("--from", evaluated / "scorecard.json")):
        assert "compared with itself" in evaluate(*words, *against, code=2).output
    after = (evaluated / "runs" / "drive" / "healthy" / "run.json").stat().st_mtime_ns
    assert before == after, "nothing was replayed"


def test_why_there_are_no_masks(tiny_model: Path, tmp_path: Path) -> None:
    with ImageBagWriter(tmp_path / "unstamped") as unstamped:
        for number in range(3):
            image = Image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "rgb8")
            unstamped.write("/rgb/image", image, 0, START_NS + number * 100_000_000, "rgb")
    rig = tmp_path / "rig.yaml"
    rig.write_text(PARAMETERS.format(model=tiny_model))
    result = evaluate(tmp_path / "unstamped", "--params", rig, "--out", tmp_path / "card")
    assert "no mask was made: rgb: messages rejected: 3" in " ".join(result.output.split())


def test_a_bag_in_which_nobody_sent_anything_passes_no_gate(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The drivers were off while it was recorded: no mask is lost, and none was seen."""
    silent = write_bag(tmp_path / "silent", {"/rgb/image": ("sensor_msgs/msg/Image", [])})
    rig = tmp_path / "rig.yaml"
    rig.write_text(PARAMETERS.format(model=tiny_model))
    gate = tmp_path / "gate.yaml"
    gate.write_text("{version: 1, checks: [{figure: masks_lost, max: 0}]}")
    asked = ("--params", rig, "--require", gate, "--out", tmp_path / "card")
    said = " ".join(evaluate(silent, *asked, code=2).output.split())
    assert "has no message on /rgb/image" in said
    assert "while the drivers run" in said


def test_a_bag_of_results_holds_what_was_recorded_as_it_was_defined_there(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Of an older standard, of the robot's own package, and two types on one topic."""
    types = get_typestore(Stores.ROS2_FOXY)
    older, own = "shape_msgs/msg/SolidPrimitive", "robot_msgs/msg/Thing"
    types.register(get_types_from_msg("string data", own))
    sent = [
        ("/shape", older, types.types[older](type=1, dimensions=np.array([1.0, 2.0, 3.0]))),
        ("/thing", own, types.types[own](data="it")),
        ("/both", "std_msgs/msg/Int8", types.types["std_msgs/msg/Int8"](data=7)),
        ("/both", "std_msgs/msg/String", types.types["std_msgs/msg/String"](data="seven")),
    ]
    image = "sensor_msgs/msg/Image"
    picture = make(values.image(scene("rgb", 0, HEIGHT, WIDTH), "rgb8", START_NS, "rgb"))
    with Writer(tmp_path / "robot", version=8, storage_plugin=StoragePlugin.MCAP) as bag:
        for topic, kind, message in (*sent, ("/rgb/image", image, picture)):
            connection = bag.add_connection(topic, kind, typestore=types)
            bag.write(connection, START_NS, types.serialize_cdr(message, kind))
    rig = tmp_path / "rig.yaml"
    rig.write_text(PARAMETERS.format(model=tiny_model))
    results = tmp_path / "results"
    evaluate(tmp_path / "robot", "--params", rig, "--out", tmp_path / "card", "--bag", results)
    with AnyReader([results]) as reader:
        found = {
            (connection.topic, connection.msgtype): reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
        }
    for topic, kind, message in sent:
        for field in ("data", "dimensions"):
            if hasattr(message, field):
                np.testing.assert_array_equal(
                    getattr(found[topic, kind], field), getattr(message, field)
                )


def test_a_bag_of_results_offers_what_was_latched_and_holds_no_other_run(
    tiny_model: Path, tmp_path: Path
) -> None:
    bag = tmp_path / "robot"
    transforms = Message("tf2_msgs/msg/TFMessage", {"transforms": []})
    with ImageBagWriter(bag) as recorded:
        for number in range(2):
            recorded.append("/tf_static", transforms.type, make(transforms), START_NS, latched(2))
            stamp = START_NS + number * 100_000_000
            image = Image(np.ascontiguousarray(scene("rgb", number, HEIGHT, WIDTH)), "rgb8")
            recorded.write("/rgb/image", image, stamp, stamp, "rgb")
            for name in ("mask", "overlay"):
                recorded.write(f"/segmentation_node/{name}", image, stamp, stamp, "old")
    (bag / "rig.yaml").write_text(PARAMETERS.format(model=tiny_model))
    evaluate(bag, "--out", tmp_path / "card", "--bag", tmp_path / "out.mcap")
    with Bag(tmp_path / "out.mcap") as opened:
        assert opened.count(["/tf_static"]) == opened.latched("/tf_static") == 2
        masks = [opened.decode(m) for m in opened.messages(["/segmentation_node/mask"])]
        assert [mask.header.frame_id for mask in masks] == ["rgb", "rgb"]
