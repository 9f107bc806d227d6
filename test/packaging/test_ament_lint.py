"""The linters of a full ROS 2 install, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

xmllint = pytest.importorskip("ament_xmllint.main", reason="ament_xmllint is not installed")


def test_package_xml_is_valid(project_root: Path) -> None:
    assert xmllint.main(argv=[str(project_root / "package.xml")]) == 0
