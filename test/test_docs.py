from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from anymodal_seg_ros.parameter_table import fault_table, fits_table, parameter_table

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_parameter_table_says_what_the_code_says() -> None:
    page = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    assert parameter_table() in page, (
        "docs/reference/parameters.md is out of date: paste the output of 'anymodal-seg parameters'"
    )


@pytest.mark.parametrize("table", [fault_table, fits_table])
def test_the_fault_tables_say_what_the_code_says(table: Callable[[], str]) -> None:
    page = (ROOT / "docs" / "reference" / "fault-timelines.md").read_text(encoding="utf-8")
    assert table() in page, (
        "fault-timelines.md is out of date: paste the output of 'anymodal-seg faults'"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_site_shows_every_page_and_only_those_that_exist() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    shown = re.findall(r"[\w/-]+\.md", str(site["nav"]))
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert sorted(shown) == sorted(pages)
