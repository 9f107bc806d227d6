"""``pip install .``, ``colcon build`` and ``colcon build --symlink-install``, each really done."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import setuptools
from fixtures.checkout import copy_checkout
from packaging.requirements import Requirement

from anymodal_seg_ros import __version__

pytestmark = pytest.mark.slow

PACKAGE = "anymodal_seg_ros"
SHARED = ("launch", "config", "models")
LOCATING = ("PYTHONPATH", "AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "ANYMODAL_SEG_SHARE")

PROBE = f"""
import json, {PACKAGE}
from {PACKAGE} import resources
share = resources.share_dir()
files = [path for top in {SHARED!r} for path in (share / top).rglob("*") if path.is_file()]
files = [path for path in files if path.suffix != ".pyc"]  # pip compiles the launch file
print(json.dumps({{
    "module": {PACKAGE}.__file__,
    "version": {PACKAGE}.__version__,
    "share": str(share),
    "files": sorted(str(path.relative_to(share)) for path in files),
    "parameters": str(resources.config_dir() / "params.yaml"),
}}))
"""


@dataclass(frozen=True)
class Installation:
    """What an install command left behind, and the shell command that makes it usable."""

    source: Path
    prefix: Path
    activate: str

    def run(self, command: str) -> str:
        """Run a shell command with the installation active, outside the checkout."""
        return shell(f"{self.activate} && {command}", self.prefix.parent)

    def probe(self) -> dict[str, Any]:
        """Import the package and say what it is and what it finds."""
        script = self.prefix.parent / "probe.py"
        script.write_text(PROBE)
        report: dict[str, Any] = json.loads(self.run(f"{sys.executable} {script}"))
        return report


def shell(command: str, folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in LOCATING}
    process = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}\n{process.stderr}"
    return process.stdout


def site_packages(prefix: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "posix_prefix", {"base": str(prefix)}))


@pytest.fixture(scope="module")
def pip_installed(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("pip")
    source, prefix = copy_checkout(project_root, folder / "source", hollow=True), folder / "prefix"
    shell(
        f"{sys.executable} -m pip --disable-pip-version-check install --quiet --no-deps "
        f"--no-build-isolation --ignore-installed --prefix {prefix} .",
        source,
    )
    return Installation(source, prefix, f"export PYTHONPATH={site_packages(prefix)}")


def colcon_build(project_root: Path, folder: Path, *options: str) -> Installation:
    source = copy_checkout(project_root, folder / "src" / PACKAGE, hollow=True)
    prefix = folder / "install"
    shell(f"{sys.executable} -m colcon build {' '.join(options)}", folder)
    return Installation(source, prefix, f". {prefix}/setup.sh")


@pytest.fixture(scope="module")
def colcon_copied(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return colcon_build(project_root, tmp_path_factory.mktemp("copied"))


@pytest.fixture(scope="module")
def colcon_linked(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return colcon_build(project_root, tmp_path_factory.mktemp("linked"), "--symlink-install")


@pytest.fixture(params=["pip_installed", "colcon_copied", "colcon_linked"])
def installed(request: pytest.FixtureRequest) -> Installation:
    installation: Installation = request.getfixturevalue(request.param)
    return installation


def shared_files(source: Path) -> list[str]:
    paths = (path for top in SHARED for path in (source / top).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(source)) for path in paths if path.name[0] != ".")


def test_the_installed_package_finds_its_own_files(installed: Installation) -> None:
    report = installed.probe()
    assert report["version"] == __version__
    assert report["files"] == shared_files(installed.source)
    assert {file.split("/")[0] for file in report["files"]} == set(SHARED)
    ours = installed.prefix.parent
    assert Path(report["module"]).is_relative_to(ours), "not the checkout's"
    assert Path(report["share"]).is_relative_to(ours)
    assert Path(report["parameters"]).is_file()


def test_the_command_runs(installed: Installation) -> None:
    (command,) = installed.prefix.rglob("anymodal-seg")
    assert __version__ in installed.run(f"{command} --version")


@pytest.mark.ros
def test_the_node_starts_and_reads_its_parameters(installed: Installation) -> None:
    from fixtures.ros_graph import unused_domain

    (node,) = installed.prefix.rglob("segmentation_node")
    assert os.access(node, os.X_OK)
    arguments = "--ros-args -p demo:=true -p model:=no_such_model"
    start = f"ROS_DOMAIN_ID={unused_domain()} {node} {arguments} 2>&1"
    assert "no_such_model" in installed.run(f"! {start}"), "it ends with an error that says why"


def test_pip_installs_types_and_no_trainer(pip_installed: Installation) -> None:
    site = site_packages(pip_installed.prefix)
    assert (site / PACKAGE / "py.typed").is_file()
    assert [path.name for path in site.iterdir() if path.suffix != ".dist-info"] == [PACKAGE]


def test_pip_installs_what_ros_looks_for(pip_installed: Installation) -> None:
    share = pip_installed.prefix / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / PACKAGE).is_file()
    assert (share / PACKAGE / "package.xml").is_file()


def test_every_dependency_is_pinned(pip_installed: Installation) -> None:
    (distribution,) = importlib.metadata.distributions(
        path=[str(site_packages(pip_installed.prefix))]
    )
    asked = [Requirement(text) for text in distribution.requires or []]
    pins: dict[str, list[str]] = {}
    for line in (pip_installed.source / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (version,) = [specifier.version for specifier in pin.specifier]
            pins.setdefault(pin.name.lower(), []).append(version)
    asked = [requirement for requirement in asked if requirement.name != "tensorrt"]
    assert len(asked) > 20
    for requirement in asked:
        versions = pins.get(requirement.name.lower(), [])
        assert versions, f"{requirement.name} is not in constraints.txt"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("name", ["colcon_copied", "colcon_linked"])
def test_colcon_installs_what_ros2_run_looks_for(name: str, request: pytest.FixtureRequest) -> None:
    installed: Installation = request.getfixturevalue(name)
    prefix = installed.prefix / PACKAGE
    assert (prefix / "share" / "ament_index" / "resource_index" / "packages" / PACKAGE).exists()
    assert (prefix / "share" / PACKAGE / "package.xml").exists()
    assert (prefix / "lib" / PACKAGE / "segmentation_node").is_file()


@pytest.mark.ros
@pytest.mark.parametrize("name", ["colcon_copied", "colcon_linked"])
def test_the_index_finds_the_share_folder(name: str, request: pytest.FixtureRequest) -> None:
    installed: Installation = request.getfixturevalue(name)
    script = (
        "from ament_index_python import get_package_share_directory as find; "
        f"print(find('{PACKAGE}'))"
    )
    found = installed.run(f'{sys.executable} -c "{script}"').strip()
    assert Path(found) == installed.prefix / PACKAGE / "share" / PACKAGE


@pytest.mark.skipif(
    int(setuptools.__version__.split(".")[0]) >= 80,
    reason="setuptools 80 and later make a copy of --symlink-install; constraints.txt pins 79",
)
def test_a_linked_build_runs_the_source(colcon_linked: Installation) -> None:
    """Editing a file is enough, nothing has to be built again."""
    report = colcon_linked.probe()
    assert Path(report["module"]).resolve().is_relative_to(colcon_linked.source)
    parameters = Path(report["parameters"]).resolve()
    assert parameters == colcon_linked.source / "config" / "params.yaml"
