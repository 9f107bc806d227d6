from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import load_gate
from anymodal_seg_ros.faults.timeline import load_timeline
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


HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the names by which the headings of a page are linked to."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = (re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text("utf-8")):
        where = (page.parent / target).resolve() if target else page
        if where.suffix == ".md":
            assert heading in anchors(where), f"{page.name} links to {target}#{heading}"


def test_tests_that_hold_a_promise_are_there() -> None:
    for page in sorted((ROOT / "docs" / "reliability").glob("*.md")):
        for path in re.findall(r"`(test/[\w/.]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_first_page_fits_a_screen_and_a_half_and_says_the_licence() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 75
    assert any("Apache-2.0" in line for line in lines[:20])


def test_the_site_shows_every_page_and_only_those_that_exist() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    shown = re.findall(r"[\w/-]+\.md", str(site["nav"]))
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert sorted(shown) == sorted(pages)


def test_the_list_of_all_pages_names_each_of_them() -> None:
    home = ROOT / "docs" / "README.md"
    links = re.findall(r"\]\(([\w/-]+\.md)\)", home.read_text(encoding="utf-8"))
    pages = {str(page.relative_to(home.parent)) for page in PAGES[1:]} - {home.name}
    assert pages - set(links) == set()


READERS: dict[str, Callable[[Path], object]] = {
    "checks:": load_gate,
    "faults:": load_timeline,
    "/**:": load_config,
}
"""What reads the files that a page shows, by the line that such a file has."""


def shown(language: str) -> list[tuple[str, str]]:
    """Every block of a language that a page shows: the page and the text."""
    block = re.compile(rf"^```{language}\n(.*?)^```", re.S | re.M)
    return [(page.name, text) for page in PAGES for text in block.findall(page.read_text("utf-8"))]


def example_files() -> list[tuple[str, str, str]]:
    """Every shown file that one of the readers reads: its page, its text, and the reader's line."""
    return [
        (page, block, line)
        for page, block in shown("yaml")
        for line in READERS
        if line in block.split("\n")
    ]


@pytest.mark.parametrize(("page", "text", "line"), example_files())
def test_a_file_that_a_page_shows_is_one_that_can_be_read(
    page: str, text: str, line: str, tmp_path: Path
) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text, encoding="utf-8")
    READERS[line](file)


def test_files_of_every_kind_are_shown() -> None:
    assert {line for _, _, line in example_files()} == set(READERS)


def shown_imports() -> list[tuple[str, str, str]]:
    """Each name of ours that a page's Python imports: the page, the module and the name."""
    return [
        (page, node.module or "", name.name)
        for page, block in shown("python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("anymodal_seg")
        for name in node.names
    ]


@pytest.mark.parametrize(("page", "module", "name"), shown_imports())
def test_what_the_python_of_a_page_imports_is_there(page: str, module: str, name: str) -> None:
    if module.startswith("anymodal_seg_ros.nodes"):
        pytest.importorskip("rclpy", reason="rclpy is not installed")
    assert hasattr(importlib.import_module(module), name)
