"""Every ``ros2 launch`` and ``ros2 run`` of this package that is shown anywhere can be typed."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fixtures.checkout import project_files
from fixtures.launch_files import LAUNCH, declared, shared_names

from anymodal_seg_ros.nodes.process.launch_arguments import rigs

ROOT = Path(__file__).resolve().parents[1]
SHOWN_IN = {".md", ".py", ".yaml", ".yml", ".service", ".rviz", ".sh", ".Dockerfile"}
RECORDS = ("CHANGELOG.md", "docs/reliability/ros-transcript.md")
"""These tell of what was typed once, mistakes among it."""

NEEDED = {
    "seg.launch.py": [{"params_file", "rig", "demo"}],
    "faults.launch.py": [{"timeline"}, {"params_file", "rig"}],
    "replay.launch.py": [{"bag"}],
    "sim.launch.py": [],
}
"""Of each of these sets one argument must be given."""

SHOWN = re.compile(r"ros2 (launch|run) anymodal_seg_ros +(?P<rest>[^`'\n\"]*)")
BEGINS = re.compile(r"[\s#`|\"'(-]*(run: )?$")
"""Before a line that is shown to be typed, and is more than a mention in a sentence."""


def commands(text: str) -> Iterator[tuple[str, list[str], bool]]:
    """Yield verb, words after the package's name, and whether the line may be typed as it is."""
    text = re.sub(r"\\\n[\s#]*", " ", text)
    for line in text.splitlines():
        for found in SHOWN.finditer(line):
            rest = re.split(r" {3,}| #|[;|&)]", found["rest"])[0]
            yield found[1], shlex.split(rest), bool(BEGINS.match(line[: found.start()]))


def flaws(verb: str, words: list[str], whole: bool) -> list[str]:
    """Return what is wrong with a command, as far as the launch files tell."""
    if not words or "…" in words[0]:
        return []
    name, *rest = words
    if verb == "run":
        known = re.findall(r'"([\w-]+) = anymodal_seg_ros\.', (ROOT / "setup.py").read_text())
        return [] if name in known else [f"there is no executable {name}"]
    if not (LAUNCH / name).is_file():
        return [f"there is no {name}"]
    tree = ast.parse((LAUNCH / name).read_text(encoding="utf-8"))
    own = declared(tree)
    given = dict(word.split(":=", 1) for word in rest if ":=" in word)
    told = [
        f"{name} has no argument {word}"
        for word in given
        if word not in {*own, *shared_names(tree)}
    ]
    told += [
        word for argument, value in given.items() for word in wrong_value(own, argument, value)
    ]
    if whole and "--show-args" not in rest and len(given) == len(rest):
        lacking = [one for one in NEEDED[name] if not one & set(given)]
        told += [f"{name} needs one of {', '.join(sorted(one))}" for one in lacking]
    return told


def wrong_value(own: Mapping[str, dict[str, ast.expr]], name: str, value: str) -> list[str]:
    choices = own.get(name, {}).get("choices")
    known = ast.literal_eval(choices) if choices else list(rigs()) if name == "rig" else None
    wrong = known is not None and value not in known and value.isidentifier() and value.islower()
    return [f"{name}:={value} is none of {', '.join(known or [])}"] if wrong else []


def pages() -> list[Path]:
    found = [path for path in project_files(ROOT) if path.suffix in SHOWN_IN]
    return [
        path
        for path in found
        if path.relative_to(ROOT).parts[0] != "test"
        and path.relative_to(ROOT).as_posix() not in RECORDS
        and "ros2 " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_ros2_commands_that_are_shown_are_taken(page: Path) -> None:
    for verb, words, whole in commands(page.read_text(encoding="utf-8")):
        assert flaws(verb, words, whole) == [], f"ros2 {verb} anymodal_seg_ros {shlex.join(words)}"


def test_there_are_many_and_wrong_ones_are_found() -> None:
    shown = [one for page in pages() for one in commands(page.read_text(encoding="utf-8"))]
    assert len(shown) > 30
    assert {words[0] for verb, words, _ in shown if verb == "launch"} >= set(NEEDED)
    for text in (
        "ros2 launch anymodal_seg_ros seg.launch.py",
        "    ros2 launch anymodal_seg_ros seg.launch.py rig:=realsense",
        "#     ros2 launch anymodal_seg_ros seg.launch.py modle:=rig-nano demo:=true",
        "ros2 launch anymodal_seg_ros faults.launch.py timeline:=faults.yaml",
        "ros2 launch anymodal_seg_ros sim.launch.py weather:=snow",
        "ros2 launch anymodal_seg_ros segmentation.launch.py",
        "see `ros2 run anymodal_seg_ros seg_node`",
    ):
        ((verb, words, whole),) = commands(text)
        assert flaws(verb, words, whole), text
