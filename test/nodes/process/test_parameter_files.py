"""What rcl passes over in parameter files without a word."""

from __future__ import annotations

from pathlib import Path

from anymodal_seg_ros.nodes.process.parameter_files import (
    addressed_parameters,
    given_sections,
    unheard_files,
)


def write(path: Path, text: str) -> list[str]:
    path.write_text(text)
    return ["node", "--ros-args", "--params-file", str(path), "-r", "__node:=front_seg"]


def test_a_file_for_somebody_else_is_named_with_its_sections(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    text = "segmentation_node: {ros__parameters: {model: a}}\nns: {x: {ros__parameters: {}}}\n"
    words = unheard_files(given_sections(write(path, text)), "/front_seg")
    for word in (str(path), "'/segmentation_node'", "'/ns/x'", "/front_seg"):
        assert word in words


def test_a_file_of_ones_own_is_no_news(tmp_path: Path) -> None:
    arguments = write(tmp_path / "rig.yaml", "/**: {ros__parameters: {model: a}}\n")
    assert unheard_files(given_sections(arguments), "/front_seg") == ""
    assert unheard_files(given_sections(["node", "rig.yaml"]), "/front_seg") == ""


def test_parameters_are_addressed_by_a_section_or_a_flag_that_names_the_node(
    tmp_path: Path,
) -> None:
    text = (
        "/**: {ros__parameters: {anybody: 1}}\n/robot1/*: {ros__parameters: {any_of_robot1: 1}}\n"
        "/*/front_seg: {ros__parameters: {a: 1, b: {c: 2}}}\nother: {ros__parameters: {d: 1}}\n"
        "robot1: {front_seg: {ros__parameters: {e: 1}}}\nfront_seg: {ros__parameters: {f: 1}}\n"
    )
    words = write(tmp_path / "rig.yaml", text)
    words += ["-p", "anybody:=1", "--param", "front_seg:g:='a:b:=c'", "--", "-p", "x:y:=1"]
    found = addressed_parameters(words, given_sections(words), "/robot1/front_seg")
    assert found == {"a", "b.c", "e", "g"}


def test_a_file_that_cannot_be_read_is_nobodys_business_here(tmp_path: Path) -> None:
    arguments = write(tmp_path / "rig.yaml", "a: [")
    arguments += ["--params-file", str(tmp_path / "none.yaml")]
    assert given_sections(arguments) == {}
    assert unheard_files({}, "/front_seg") == ""
