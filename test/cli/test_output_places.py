from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.cli.main import main


@pytest.fixture(scope="module")
def bag(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scored_bag(tmp_path_factory.mktemp("bag"), tiny_model, frames=5)


@pytest.fixture(scope="module")
def card(bag: Path) -> Path:
    out = bag.parent / "card"
    assert CliRunner().invoke(main, ["evaluate", str(bag), "--out", str(out)]).exit_code == 0
    return out


AGAINST = ("--max-drop", "1", "--baseline", "earlier")
FILES = {
    "compare": (("compare", "CARD", "CARD", "--csv"), 1),
    "inspect": (("inspect", "BAG", "--init"), 2),
    "evaluate": (
        ("evaluate", "--from", "CARD", "--max-drop", "1", "--baseline", "B", "--junit"),
        2,
    ),
    "verify-engine": (("verify-engine", "--out"), 1),
    "benchmark": (("benchmark", "--out"), 1),
    "benchmark's picture": (("benchmark", "--picture"), 1),
    "new-rig": (("new-rig",), 1),
    "contact-sheet": (("simulate", "contact-sheet"), 1),
    "rigbench": (("simulate", "rigbench", "bench", "--write-manifest"), 1),
}
FOLDERS = {
    "run": (("run", "BAG", "--out"), 1),
    "evaluate --out": (("evaluate", "BAG", "--out"), 2),
    "check-alignment": (("check-alignment", "BAG", "--params-file", "RIG", "--out"), 1),
    "demo": (("demo", "--out"), 1),
}


@pytest.mark.parametrize(("words", "code"), (FILES | FOLDERS).values(), ids=[*FILES, *FOLDERS])
def test_what_cannot_be_written_is_told_before_any_work_in_one_line(
    words: tuple[str, ...], code: int, bag: Path, card: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    known = {"BAG": bag, "CARD": card, "RIG": bag / "rig.yaml"}
    given = [str(known.get(word, word)) for word in words]
    result = CliRunner().invoke(main, [*given, str(tmp_path / "taken" / "in" / "it.png")])
    assert result.exit_code == code, result.output
    (line,) = (line for line in result.output.splitlines() if "Error: " in line)
    assert "taken" in line
    assert "choose another folder" in line
    assert "Errno" not in line


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_no_file_to_write(name: str, bag: Path, card: Path, tmp_path: Path) -> None:
    words, code = FILES[name]
    known = {"BAG": bag, "CARD": card}
    given = [str(known.get(word, word)) for word in words]
    result = CliRunner().invoke(main, [*given, str(tmp_path)])
    assert result.exit_code in (code, 2), result.output
    assert str(tmp_path) in result.output
    assert "Errno" not in result.output


def test_folders_that_are_missing_are_made(bag: Path, card: Path, tmp_path: Path) -> None:
    table, rig = tmp_path / "a" / "b" / "table.csv", tmp_path / "c" / "d" / "rig.yaml"
    done = CliRunner().invoke(main, ["compare", str(card), str(card), "--csv", str(table)])
    assert done.exit_code == 0, done.output
    with table.open(newline="") as file:
        assert next(csv.reader(file))[:2] == ["figure", "where"]
    done = CliRunner().invoke(main, ["inspect", str(bag), "--init", str(rig)])
    assert done.exit_code in (0, 1), done.output
    assert "rig:" in rig.read_text()
