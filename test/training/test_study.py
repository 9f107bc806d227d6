"""A study plans the runs of its methods, does them, and says what they came to."""

from __future__ import annotations

import contextlib
import io
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.commands import study as study_runner
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import open_source
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.studies.comparison import (
    MEASURES,
    MethodRow,
    compare,
    markdown_table,
)
from anymodal_seg_training.studies.study import load_study

ROOT = Path(__file__).parents[2]
LONG_S = 500.0
"""Longer than a process takes to start or to end on a busy machine."""


def content(**data: Any) -> dict[str, Any]:
    recipe = tiny_recipe(steps=2, validate_every=2, validation_frames=2, batch_size=2).plain()
    # Runs of a study are processes, which know no network of the tests.
    recipe["architecture"]["backbone"] = "mit_nano"
    return {
        "title": "Tiny",
        "seeds": [3, 4],
        "recipe": {**recipe, "strategy": {"criterion": {"class_balance": 0.1}}, "data": data},
        "methods": {
            "student": {
                "title": "The student",
                "after": "teacher",
                "seeds": [3],
                "strategy": {"name": "anyseg", "teacher": "after"},
            },
            "teacher": {
                "title": "The teacher",
                "architecture": {"head_width": 8},
                "strategy": {"name": "supervised", "modality_dropout": "none"},
                "training": {"learning_rate": 0.002},
            },
        },
    }


def write(path: Path, study: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def test_every_method_has_the_shared_recipe_and_its_own_changes(tmp_path: Path) -> None:
    study = load_study(write(tmp_path / "study.yaml", content(dataset="tiny")))
    runs = study.runs(tmp_path)
    assert [run.folder.path.name for run in runs] == ["student-3", "teacher-3", "teacher-4"]
    student, teacher, other = runs
    assert student.after == teacher.folder and teacher.after is None
    assert student.recipe.strategy["teacher"] == str(tmp_path / "teacher-3")
    assert [run.recipe.seed for run in runs] == [3, 3, 4]
    assert teacher.recipe.architecture["head_width"] == 8
    assert student.recipe.architecture["head_width"] == 16
    assert other.recipe.training.learning_rate == 0.002
    for run in runs:
        assert run.recipe.strategy["criterion"] == {"class_balance": 0.1}
        assert run.recipe.training.steps == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"methods": {}}, "methods is {}: expected named methods"),
        ({"seeds": "1"}, "the seeds of student are '1'|the seeds of teacher are '1'"),
        ({"methods": {"a": {"title": "A", "after": "b"}}}, "after is 'b': expected a method"),
        ({"methods": {"a": {"strategy": {}}}}, "expected a title"),
        ({"methods": {"a": {"title": "A", "strategy": 3}}}, "expected a section of a recipe"),
        ({"methods": {"a": {"title": "A", "training": {"stps": 1}}}}, "methods.a: unknown.*stps"),
        ({"methods": {"a": {"title": "A", "after": "a"}}}, "after is 'a', which waits for itself"),
        (
            {"methods": {"a": {"title": "A", "architecture": {"head_widt": 8}}}},
            "methods.a: unknown parameter architecture.head_widt: did you mean head_width",
        ),
        (
            {"methods": {"a": {"title": "A", "strategy": {"name": "sup"}}}},
            "methods.a: strategy.name is 'sup': expected one of supervised",
        ),
        (
            {"methods": {"a": {"title": "A", "strategy": {"name": "anyseg", "teacher": "after"}}}},
            "methods.a.strategy has an entry 'after'.* name that one in methods.a.after",
        ),
        (
            {"methods": {"a": {"title": "A", "after": "b"}, "b": {"title": "B", "after": "a"}}},
            r"waits for itself \(a after b after a\): expected a method that can be first",
        ),
        ({"seeds": [3, 3]}, r"are \[3, 3\]: expected each once"),
        ({"seeds": list(range(20_000))}, "are 20001 runs: expected at most 1000"),
        (
            {"methods": {f"m{n}": {"title": "A", "after": f"m{n + 1}"} for n in range(3000)}},
            "are 6000 runs: expected at most 1000",
        ),
        (
            {"methods": {"a": {"title": "A", "seed": {"x": 1}}}},
            "methods.a.seed cannot change seed, which is 3 and no section",
        ),
        (
            {"recipe": {"strategy": 5}, "methods": {"a": {"title": "A", "strategy": {"x": 1}}}},
            "methods.a.strategy cannot change strategy, which is 5 and no section",
        ),
        (
            {
                "recipe": {"strategy": None},
                "methods": {"a": {"title": "A", "after": "b"}, "b": {"title": "B"}},
            },
            "methods.a: .* expected named entries",
        ),
    ],
)
def test_a_wrong_study_is_refused_before_anything_runs(
    change: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "study.yaml", {**content(dataset="tiny"), **change})
    with pytest.raises(ConfigError, match=complaint):
        load_study(path)


@pytest.mark.parametrize("path", sorted((ROOT / "training/studies").glob("*.yaml")), ids=str)
def test_the_studies_of_this_project_can_be_read(path: Path) -> None:
    assert len(load_study(path).runs(Path("runs"))) > 7


def folders(root: Path) -> dict[str, Any]:
    """Write a data set of image files, with the modalities of the tiny recipe."""
    generator = np.random.default_rng(0)
    names = tiny_recipe().modality_names
    for name in (*names, "label"):
        (root / name).mkdir(parents=True)
        for frame in "ab":
            shape = (32, 64) if name in ("label", "depth", "thermal") else (32, 64, 3)
            high, dtype = (3, np.uint8) if name == "label" else (200, np.uint8)
            if name in ("depth", "thermal"):
                high, dtype = 9000, np.uint16
            cv2.imwrite(
                str(root / name / f"{frame}.png"), generator.integers(0, high, shape).astype(dtype)
            )
    reads = {
        "rgb": {"read": "color"},
        "thermal": {"read": "counts"},
        "depth": {"read": "depth", "metres_per_count": 0.001},
        "event": {"read": "color"},
    }
    layout = {
        "name": "small",
        "title": "Small",
        "obtain": "made by a test",
        "frames": "rgb/{name}.png",
        "splits": {"train": "", "validation": "", "test": ""},
        "images": {name: {"path": f"{name}/{{name}}.png", **reads[name]} for name in names},
        "label": {"path": "label/{name}.png"},
        "classes": [["left", 1, 2, 3], ["right", 4, 5, 6], ["spot", 7, 8, 9]],
    }
    write(root / "layout.yaml", layout)
    return {"dataset": "folders", "layout": str(root / "layout.yaml"), "root": str(root)}


def prepare(study: Path, cache: Path) -> Path:
    """Make the frames here, where workers have begun; in each command they would begin anew."""
    recipe = load_study(study).runs(cache)[0].recipe
    for split in SPLITS:
        open_source(open_dataset(recipe.data), split, recipe, cache, 1, Display())
    return cache


class Done:
    """What ``python -m`` did in this process, which has imported PyTorch already, as a process.

    That a study's commands are processes, which end with it, is shown with real ones.
    """

    def __init__(self, command: list[str], stdout: BinaryIO, stderr: int) -> None:
        python, option, module, *arguments = command
        assert (python, option, stderr) == (sys.executable, "-m", subprocess.STDOUT)
        output = io.TextIOWrapper(stdout, write_through=True)
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            patch.setattr(sys, "argv", [module, *arguments])
            patch.delitem(sys.modules, module, raising=False)
            with pytest.raises(SystemExit) as ended:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        output.detach()
        self._code = ended.value.code or 0

    def poll(self) -> object:
        return self._code


@pytest.fixture()
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    there = SimpleNamespace(Popen=Done, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(study_runner, "subprocess", there)


def call(*arguments: object) -> Any:
    return CliRunner().invoke(study_runner.main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("found", ["[1]", '"x"', "{}", "[" * 20_000, '{"mean_over_subsets": "a"}'])
def test_an_evaluation_of_somebody_else_is_named_where_it_is_none(
    found: str, tmp_path: Path
) -> None:
    study = load_study(write(tmp_path / "study.yaml", content(dataset="tiny")))
    folder = study.runs(tmp_path)[0].folder
    folder.path.mkdir()
    folder.result_file("test").write_text(found)
    with pytest.raises(TrainingError, match=r"cannot use .*student-3/evaluation-test\.json"):
        compare(study, tmp_path)


@pytest.mark.usefixtures("in_this_process")
def test_a_study_runs_in_order_and_is_not_run_twice(tmp_path: Path) -> None:
    study = content(**folders(tmp_path / "data"))
    study["seeds"] = [3]
    kinds = study["recipe"]["modalities"]
    study["recipe"]["modalities"] = {name: kinds[name] for name in ("rgb", "thermal")}
    path, out = write(tmp_path / "study.yaml", study), tmp_path / "out"
    cache = prepare(path, tmp_path / "cache")
    options = ["--cache-dir", cache, "--threads", 1, "--workers", 1]
    done = call(path, out, "--jobs", 2, "--table", tmp_path / "table.md", *options)
    assert done.exit_code == 0, done.output + (out / "student-3/output.txt").read_text()
    for run in ("student-3", "teacher-3"):
        assert "with statistics of 3 sets of sensors" in (out / run / "output.txt").read_text()
    rows = compare(load_study(path), out)
    assert [row.title for row in rows] == ["The student", "The teacher"]
    assert all(0.0 <= row.scores[name][0] <= 100.0 for row in rows for name in MEASURES)
    assert (tmp_path / "table.md").read_text() == markdown_table(rows)
    before = (out / "student-3/evaluation-test.json").stat().st_mtime_ns
    assert "begins" not in call(path, out, *options).output
    assert (out / "student-3/evaluation-test.json").stat().st_mtime_ns == before


@pytest.mark.usefixtures("in_this_process")
def test_a_run_that_fails_is_named_and_so_are_those_that_wait_for_it(tmp_path: Path) -> None:
    study = content(dataset="folders", layout="mfnet", root=str(tmp_path / "nowhere"))
    study["seeds"] = [3]
    path = write(tmp_path / "study.yaml", study)
    done = call(path, tmp_path / "out", "--threads", 1)
    assert done.exit_code == 1
    assert "teacher-3: failed, see" in done.output
    assert "not finished: teacher-3, student-3" in done.output
    assert "nowhere" in (tmp_path / "out/teacher-3/output.txt").read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--only", "techer"], "--only is 'techer': expected one of student, teacher"),
        (["--jobs", "0"], "0 is not in the range x>=1"),
        (["--table", "study.yaml/table.md"], "study.yaml/table.md', whose folder cannot be made"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(
    options: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("study.yaml"), content(dataset="tiny"))
    done = call("study.yaml", "out", *options)
    assert done.exit_code in (1, 2) and complaint in done.output
    assert not Path("out").exists()


def test_what_another_recipe_came_to_stands_in_no_table(tmp_path: Path) -> None:
    """A study may be moved; once changed, its finished runs are those of another study."""
    path, old = write(tmp_path / "study.yaml", content(dataset="tiny")), tmp_path / "old"
    for run in load_study(path).runs(old):
        run.folder.create(run.recipe)
        run.folder.write_json(run.folder.result_file("test"), {})
    old.rename(tmp_path / "out")
    for run in load_study(path).runs(tmp_path / "out"):
        run.check_same()
    changed = content(dataset="tiny")
    changed["recipe"]["training"]["steps"] = 400
    done = call(write(path, changed), tmp_path / "out")
    assert done.exit_code == 1
    assert "student-3 was trained with training.steps 2, the study now has 400" in done.output


@pytest.mark.slow
def test_who_stops_a_study_stops_its_runs(tmp_path: Path) -> None:
    study = content(**folders(tmp_path / "data"))
    study["recipe"]["training"] |= {"steps": 100_000, "warmup_steps": 1}
    path, out = write(tmp_path / "study.yaml", study), tmp_path / "out"
    module = ["-m", "anymodal_seg_training.commands.study", str(path), str(out), "--threads", "1"]
    options = ["--cache-dir", str(prepare(path, tmp_path / "cache")), "--workers", "1"]
    process = subprocess.Popen([sys.executable, *module, *options])
    run = RunFolder(out / "teacher-3")
    try:
        _wait(lambda: run.log_file.is_file())
        with pytest.raises(TrainingError, match="another process trains"):
            run.held().__enter__()
    finally:
        process.terminate()
    assert process.wait(LONG_S) == 128 + signal.SIGTERM
    assert _free(run), "who starts again at once can"


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_S
    while not until():
        assert time.monotonic() < end, f"not within {LONG_S:g} s"
        time.sleep(0.1)


def _free(run: RunFolder) -> bool:
    try:
        with run.held():
            return True
    except TrainingError:
        return False


def test_the_best_of_each_column_is_bold_and_seeds_have_a_spread() -> None:
    rows = [
        MethodRow("one", (1,), dict.fromkeys(MEASURES, (40.0,))),
        MethodRow("two", (1, 2), dict.fromkeys(MEASURES, (41.0, 43.0))),
        MethodRow("none", (), dict.fromkeys(MEASURES, ())),
    ]
    _, _, one, two, none = markdown_table(rows).splitlines()
    assert "| 40.0 |" in one and "**" not in one
    assert "| **42.0 ± 1.4** |" in two and two.endswith("| 1, 2 |")
    assert "| – |" in none and none.endswith("| none yet |")


def test_of_means_that_look_the_same_none_is_the_best_alone() -> None:
    rows = [
        MethodRow("one", (1,), dict.fromkeys(MEASURES, (40.02,))),
        MethodRow("two", (1,), dict.fromkeys(MEASURES, (39.98,))),
        MethodRow("three", (1,), dict.fromkeys(MEASURES, (39.94,))),
    ]
    _, _, one, two, three = markdown_table(rows).splitlines()
    assert "| **40.0** |" in one and "| **40.0** |" in two and "| 39.9 |" in three
