from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES
from anymodal_seg_ros.evaluation.scorecard.figures.measures import STATISTICS
from anymodal_seg_ros.evaluation.scorecard.suite import entry_of


@pytest.fixture(scope="module")
def how_to(project_root: Path) -> list[object]:
    """The YAML blocks of the page."""
    text = (project_root / "docs" / "how-to" / "evaluate.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


def test_the_reference_defines_every_figure(project_root: Path) -> None:
    page = (project_root / "docs" / "reference" / "figures.md").read_text(encoding="utf-8")
    for name in (*FIGURES, *STATISTICS):
        assert f"`{name}`" in page, f"{name} is not defined in figures.md"


def test_the_suite_of_the_page_can_be_read(how_to: list[object]) -> None:
    (suite,) = [block for block in how_to if isinstance(block, dict) and "entries" in block]
    for entry in suite["entries"]:
        read = entry_of({**suite["defaults"], **entry})
        assert read.bags
        assert read.kinds == ("off", "stuck")
