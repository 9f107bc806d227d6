"""Every command line that the documentation shows is one that the commands take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from anymodal_seg_ros.cli.main import main as anymodal_seg

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "models").rglob("*.md")),
]
PROGRAM = re.compile(
    r"(?<![\w/.-])(?:(anymodal-seg|anymodal-train)|-m (anymodal_seg_training\.train))(?= )"
)
OTHER_PROGRAMS = ("by ", "systemctl edit ", "journalctl -u ")
"""After these the name is that of a service, or of who wrote something."""


def spans(page: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of code of a page, each with whether it is a line of a block."""
    page = re.sub(r"\\\n\s*", " ", page)
    fenced = re.findall(r"^```\w*\n(.*?)^```", page, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    indented = re.findall(r"^(?: {4,}|\t)(?![-*|]).*$", rest, re.M)
    for line in [*(line for block in fenced for line in block.splitlines()), *indented]:
        yield line.strip(), True
    prose = re.sub(r"^(?: {4,}|\t)(?![-*|]).*$", "", rest, flags=re.M)
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(code.split()), False


def command_lines(page: str) -> Iterator[tuple[str, list[str], bool]]:
    """Yield program, arguments, and whether the line is meant to be typed as it stands."""
    for code, whole in spans(page):
        if not (found := PROGRAM.search(code)) or code[: found.start()].endswith(OTHER_PROGRAMS):
            continue
        text = re.split(r" {3,}(?=\w)|\s[#|>&;]|\)", code[found.end() :])[0]
        shortened = "…" in text  # which stands for what the reader has to think of
        arguments = shlex.split(text.replace("…", "1"))
        if found[2]:
            yield "anymodal-train", ["train", *arguments], whole and not shortened
        elif re.fullmatch(r"[a-z-]+|--?\w+", arguments[0] if arguments else ""):
            yield found[1], arguments, (whole or len(arguments) > 2) and not shortened


def program(name: str) -> click.Command:
    """Return the command; that of the trainer needs PyTorch."""
    if name == "anymodal-seg":
        return anymodal_seg
    pytest.importorskip("torch")
    from anymodal_seg_training.cli import main as anymodal_train

    return anymodal_train


def parse(name: str, arguments: list[str], complete: bool) -> None:
    """Parse a line as the command would, without running it."""
    command, path = program(name), name
    context = click.Context(command, info_name=path)
    while isinstance(command, click.Group):
        if not arguments:
            return
        if arguments[0].startswith("-"):
            break
        word, *arguments = arguments
        found = command.get_command(context, word)
        assert found, f"{path} has no command {word!r}"
        command, path = found, f"{path} {word}"
        context = click.Context(command, parent=context, info_name=word)
    try:
        command.make_context(path, list(arguments), parent=context.parent)
    except (click.MissingParameter, click.BadOptionUsage) as error:
        assert not complete, f"{path} {shlex.join(arguments)}: {error.format_message()}"
    except click.exceptions.Exit:
        pass


@pytest.fixture(autouse=True)
def files_need_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_command_lines_of_the_documentation_are_taken(page: Path) -> None:
    for name, arguments, complete in command_lines(page.read_text(encoding="utf-8")):
        try:
            parse(name, list(arguments), complete)
        except click.ClickException as error:
            pytest.fail(f"{page.name}: {name} {shlex.join(arguments)}: {error.format_message()}")


def test_there_are_many_and_a_wrong_one_is_found() -> None:
    lines = [line for page in PAGES for line in command_lines(page.read_text("utf-8"))]
    assert len(lines) > 100
    assert {name for name, _, _ in lines} == {"anymodal-seg", "anymodal-train"}
    with pytest.raises(click.NoSuchOption):
        parse("anymodal-seg", ["run", "drive", "--output", "masks"], True)
    with pytest.raises(AssertionError, match="no command 'runn'"):
        parse("anymodal-seg", ["runn", "drive"], True)
