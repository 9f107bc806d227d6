from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from anymodal_seg_ros import __version__

IMPORTS = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
ROS_PACKAGES = {"rclpy", "launch", "launch_ros", "std_srvs"}
INTERFACES = ("_msgs", "_interfaces")


@pytest.fixture(scope="module")
def package_xml(project_root: Path) -> ElementTree.Element:
    return ElementTree.parse(project_root / "package.xml").getroot()


def test_package_xml_has_the_version_and_name_of_the_package(
    package_xml: ElementTree.Element,
) -> None:
    assert package_xml.findtext("version") == __version__
    assert package_xml.findtext("name") == "anymodal_seg_ros"
    assert package_xml.findtext("export/build_type") == "ament_python"


def test_every_ros_package_that_is_imported_is_declared(
    project_root: Path, package_xml: ElementTree.Element
) -> None:
    declared = {element.text for element in package_xml.iter("exec_depend")}
    folders = (project_root / "anymodal_seg_ros" / "nodes", project_root / "launch")
    imported = {
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for name in IMPORTS.findall(path.read_text())
        if name in ROS_PACKAGES or name.endswith(INTERFACES)
    }
    assert "rclpy" in imported
    assert imported <= declared


def test_a_release_asks_no_pip_and_says_whose_it_is(package_xml: ElementTree.Element) -> None:
    """bloom refuses keys that end in -pip, and tools want an address and an author."""
    depends = [element for element in package_xml if element.tag.endswith("depend")]
    always = [str(element.text) for element in depends if element.get("condition") is None]
    assert [name for name in always if name.endswith("-pip")] == []
    assert package_xml.findtext("url")
    assert package_xml.findtext("author")
    assert package_xml.find("maintainer") is not None


def test_colcon_finds_pytest_among_the_test_requirements(project_root: Path) -> None:
    script = (project_root / "setup.py").read_text()
    assert re.search(r'"test": \["pytest', script), "or colcon test takes unittest and runs nothing"
