"""Nothing in the repository points at one person's machine or at one package registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fixtures.checkout import project_files

MACHINE_PATH = re.compile(r"(?<![\w.$}~])/(?:work|root|home/\w+|Users/\w+)/\w")
# Written with brackets, so that this file does not match itself.
REGISTRY = re.compile(
    r"pypi[.]org|pythonhosted[.]org|download[.]pytorch|(extra-)?index-ur[l]", re.I
)


def lines(root: Path) -> Iterator[tuple[str, str]]:
    for path in project_files(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # weights, pictures
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{path.relative_to(root)}:{number}", line


def test_no_machine_paths(project_root: Path) -> None:
    assert [place for place, line in lines(project_root) if MACHINE_PATH.search(line)] == []


def test_no_registry_hosts(project_root: Path) -> None:
    assert [place for place, line in lines(project_root) if REGISTRY.search(line)] == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert MACHINE_PATH.search("open('/ro" + "ot/file')")
    assert MACHINE_PATH.search("PYTHONPATH=/wo" + "rk/main")
    assert not MACHINE_PATH.search("source /opt/ros/kilted/setup.bash; cd ~/work/x; $HOME/root/y")
    assert REGISTRY.search("https://py" + "pi.org/simple")
