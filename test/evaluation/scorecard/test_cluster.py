"""Two workers of a cluster give what one process gives, also where they cannot see the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="Dask is not installed (pip install '.[cluster]')")

from click.testing import CliRunner, Result
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard

pytestmark = pytest.mark.slow

SWEEP = ("--sweep", "--kinds", "off", "--no-subsets", "--fault-seconds", "1")


def evaluate(*args: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, args)], catch_exceptions=False)


def lines(folder: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (folder / "masks.jsonl").read_text().splitlines()]
    return [{k: v for k, v in x.items() if k not in ("network_ms", "process_ms")} for x in read]


def figures(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "scorecard.json").read_text())
    steady = {name for name, figure in FIGURES.items() if figure.deterministic}
    return {
        "figures": [row for row in content["figures"] if row["figure"] in steady],
        "faults": content["faults"],
    }


def test_a_local_cluster_gives_the_serial_scorecard(tiny_model: Path, tmp_path: Path) -> None:
    good = write_scored_bag(tmp_path, tiny_model, 30)
    other = write_scored_bag(tmp_path, tiny_model, 12, name="short")
    torn = write_scored_bag(tmp_path, tiny_model, 5, name="torn")
    (file,) = torn.glob("*.mcap")
    file.write_bytes(b"this is no bag")
    bags = (good, other, torn)
    serial = evaluate(*bags, *SWEEP, "--out", tmp_path / "serial")
    spread = evaluate(*bags, *SWEEP, "--cluster", "local:2", "--out", tmp_path / "spread")
    assert serial.exit_code == spread.exit_code == 2, "one bag is bad"
    for result in (serial, spread):
        assert "could not be evaluated: torn" in result.output
    runs = sorted(
        p.parent.relative_to(tmp_path / "serial") for p in tmp_path.glob("serial/**/run.json")
    )
    assert len(runs) == 6
    for run in runs:
        assert lines(tmp_path / "spread" / run) == lines(tmp_path / "serial" / run)
        pictures = {
            name: {p.name: p.read_bytes() for p in (tmp_path / name / run / "worst").iterdir()}
            for name in ("serial", "spread")
        }
        assert pictures["serial"] == pictures["spread"] != {}
    assert figures(tmp_path / "spread") == figures(tmp_path / "serial")
    keys = {
        name: [r.key for r in load_scorecard(tmp_path / name).runs] for name in ("serial", "spread")
    }
    assert keys["serial"] == keys["spread"], "so what one has finished the other goes on with"

    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("spread/**/run.json")}
    evaluate(*bags, *SWEEP, "--out", tmp_path / "spread")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("spread/**/run.json")} == before


@pytest.mark.parametrize(
    ("address", "words"),
    [("local:many", "expected local:N"), ("nowhere", "no Dask scheduler answers")],
)
def test_a_cluster_that_is_not_there(
    address: str, words: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymodal_seg_ros.evaluation.scorecard.replays.cluster._CONNECT_S", 1)
    bag = write_scored_bag(tmp_path, tiny_model, 3)
    result = evaluate(bag, "--cluster", address, "--out", tmp_path / "card")
    assert result.exit_code == 2
    assert words in result.output
