"""The workflows of GitHub: they call what there is. Their syntax is what actionlint checks."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))

if not FOLDER.is_dir():
    pytest.skip("not a checkout: .github is not there", allow_module_level=True)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(path: Path) -> list[str]:
    jobs = load(path)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_the_shape_of_one(path: Path) -> None:
    content = load(path)
    assert {"name", "jobs", "permissions"} <= set(content)
    assert content[True], "YAML reads the key 'on' as true"
    for job in content["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4"))


def test_ci_calls_sessions_and_targets_that_there_are() -> None:
    nox = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = "\n".join(line for path in WORKFLOWS for line in commands(path))
    for session in re.findall(r'nox -s "?(\w+)', called):
        assert f"def {session}(" in nox
    for target in re.findall(r"^make (\w+)", called, re.MULTILINE):
        assert f"\n{target}:" in make
    assert (ROOT / ".ci" / "run").is_file()
    matrix = load(FOLDER / "workflows" / "ci.yml")["jobs"]
    for distribution in matrix["wheels"]["strategy"]["matrix"]["distribution"]:
        assert f'"{distribution}": [' in nox
    for python in matrix["pythons"]["strategy"]["matrix"]["python"]:
        assert f'"{python}"' in nox


def test_nox_has_the_pins_of_setup_py() -> None:
    nox, setup = (ROOT / name for name in ("noxfile.py", "setup.py"))
    pins = set(re.findall(r'"ros-rclpy\[fastrtps\]==([\d.]+)"', setup.read_text()))
    assert pins and pins <= set(re.findall(r"ros-rclpy\[fastrtps\]==([\d.]+)", nox.read_text()))


def test_a_session_looks_for_no_libraries_in_other_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python with ROS 2 as wheels, as that of `make test`, tells all it starts where its are."""
    nox = ModuleType("nox")
    decorator = lambda *_, **__: lambda function: function  # noqa: E731
    vars(nox).update(options=SimpleNamespace(), Session=object)
    vars(nox).update(session=decorator, parametrize=decorator)
    monkeypatch.setitem(sys.modules, "nox", nox)
    given: dict[str, Any] = {}
    session = SimpleNamespace(posargs=[], run=lambda *_, **options: given.update(options))
    runpy.run_path(str(ROOT / "noxfile.py"))["pytest"](session, "ros")
    assert given["env"] == {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "", "LD_LIBRARY_PATH": ""}


def test_the_containers_build_as_the_page_says() -> None:
    page = (ROOT / "docs" / "how-to" / "run-on-your-robot.md").read_text(encoding="utf-8")
    called = "\n".join(commands(FOLDER / "workflows" / "distributions.yml"))
    for command in (
        "python3 -m venv --system-site-packages venv",
        "touch venv/COLCON_IGNORE",
        "python -m colcon build",
    ):
        assert command in page
        assert command in called
    assert "python -m pip install onnxruntime rosbags" in page
    assert re.search(r"python -m pip install (\S.* )?onnxruntime rosbags ", called)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.y*ml")), ids=lambda path: path.stem)
def test_every_file_is_yaml(path: Path) -> None:
    assert load(path)


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
