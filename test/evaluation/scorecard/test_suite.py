"""Suites of strangers: files that include one another, and lists that are crossed."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.scorecard.suite import load_suite


def write(path: Path, text: str) -> Path:
    path.write_text(f"version: 1\n{text}", encoding="utf-8")
    return path


def test_an_error_in_an_included_file_names_both(tmp_path: Path) -> None:
    outer = write(tmp_path / "outer.yaml", "include: [inner.yaml]\n")
    with pytest.raises(ConfigError, match=r"outer\.yaml: include: .*inner\.yaml: No such file"):
        load_suite(outer)
    write(tmp_path / "inner.yaml", "entries: [{bags: [a], engine: 3}]\n")
    with pytest.raises(ConfigError, match=r"outer\.yaml: include: .*inner\.yaml: entry 1: engine"):
        load_suite(outer)


def test_a_suite_that_includes_itself_is_refused(tmp_path: Path) -> None:
    itself = write(tmp_path / "itself.yaml", "include: [itself.yaml, itself.yaml]\n")
    with pytest.raises(ConfigError, match="included by itself, or too deep"):
        load_suite(itself)


def test_files_that_each_include_the_next_several_times_end_soon(tmp_path: Path) -> None:
    """Eight files of a line each ask for a hundred million entries."""
    for level in range(8):
        names = ", ".join([f"{level + 1}.yaml"] * 10)
        write(tmp_path / f"{level}.yaml", f"include: [{names}]\n")
    write(tmp_path / "8.yaml", "entries: [{bags: [a]}]\n")
    with pytest.raises(ConfigError, match="one file too many: expected at most 200"):
        load_suite(tmp_path / "0.yaml")


def test_bags_times_models_are_bounded_before_one_is_looked_at(tmp_path: Path) -> None:
    many = ", ".join(f"'{number}'" for number in range(300))
    suite = write(tmp_path / "suite.yaml", f"entries: [{{bags: [{many}], models: [{many}]}}]\n")
    with pytest.raises(ConfigError, match="asks for 90000 trials"):
        load_suite(suite)
