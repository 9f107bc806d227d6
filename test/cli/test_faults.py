from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.faults.kinds import KINDS
from anymodal_seg_ros.faults.timeline import load_timeline


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, ["faults", *map(str, args)], catch_exceptions=False)


def test_without_a_file_every_kind_is_told() -> None:
    result = invoke()
    assert result.exit_code == 0
    for kind in KINDS:
        assert f"| `{kind}` |" in result.output


def test_a_timeline_is_printed_as_it_was_understood(tmp_path: Path) -> None:
    path, again = tmp_path / "faults.yaml", tmp_path / "again.yaml"
    path.write_text("faults: [{sensor: rgb, kind: off, start_s: 3}, {sensor: '*', kind: slow}]")
    result = invoke(path)
    assert result.exit_code == 0
    again.write_text(result.output)
    assert load_timeline(again) == load_timeline(path)


def test_what_is_wrong_with_one_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("faults: [{sensor: rgb, kind: slow, every: 1}]")
    result = invoke(path)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.endswith("entry 1 (slow): every is 1: expected a value from 2 to 1000")
