"""``anymodal-seg engines``: the plans that were built for TensorRT, to look at and to remove."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click
from rich.table import Table

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.tensorrt.cache import CachedPlan, PlanCache, machine_parts
from anymodal_seg_ros.inference.tensorrt.engine import UNVERIFIED
from anymodal_seg_ros.inference.tensorrt.kept_files import meta_of, remove_kept
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries
from anymodal_seg_ros.inference.tensorrt.locks import LockedError, files_held, is_building


@click.group("engines")
def command() -> None:
    """Plans that were built for TensorRT on this machine. Nothing of the kind is downloaded."""


@command.command("list")
def list_() -> None:
    """List the plans: of which model, how large, how old, and whether this machine can use them."""
    cache, console = PlanCache(), PlainConsole()
    console.print(f"{cache.folder} ({UNVERIFIED})", soft_wrap=True)
    mine = _this_machine()
    table = Table()
    for title in ("file", "model", "precision", "MB", "written", "of"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    with contextlib.ExitStack() as stack:
        # What is being written looks damaged; but who may only look need not wait for it.
        with contextlib.suppress(OSError, LockedError):
            stack.enter_context(files_held(cache.folder, patience_s=2.0))
        entries = list(cache.entries())
    for entry in entries:
        key = entry.about.get("key", {})
        table.add_row(
            entry.path.name,
            str(entry.about.get("model", "all" if entry.path.suffix == ".cache" else "")),
            str(key.get("precision", "")),
            f"{entry.path.lstat().st_size / 1e6:.1f}",
            f"{datetime.fromtimestamp(_written(entry.path)):%Y-%m-%d %H:%M}",
            entry.damage or _whose(entry, mine),
        )
    console.print(table if entries else "no plans: anymodal-seg build-engine builds some")


@command.command("prune")
@click.option("--all", "all_", is_flag=True, help="Remove everything, timing caches included.")
@click.option(
    "--older-than",
    type=click.IntRange(0, 36_500),
    help="Remove also plans that are older, in days.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(all_: bool, older_than: int | None, dry_run: bool) -> None:
    """Remove damaged plans, those of another GPU, driver or TensorRT, and half-written files."""
    cache, mine = PlanCache(), _this_machine()
    if (all_ or older_than is not None) and not dry_run and is_building(cache.folder):
        raise click.ClickException(
            f"a build is running, which may need what is in {cache.folder}: wait for its end, or "
            "cancel it first"
        )
    sizes, stuck = list[int](), list[str]()

    def clear(path: Path, reason: str, remove: Callable[[Path], None]) -> None:
        try:
            size = path.lstat().st_size
            if not dry_run:
                remove(path)
            click.echo(f"{'would remove' if dry_run else 'removed'} {path.name}: {reason}")
            sizes.append(size)
        except OSError as error:  # the others go nevertheless
            stuck.append(f"{error.filename or path} ({error.strerror})")

    with contextlib.ExitStack() as stack:
        # Nobody is at a file meanwhile, so what is half written is so for good.
        held = cache.folder.is_dir() and stack.enter_context(files_held(cache.folder))
        for entry in list(cache.entries()):
            reason = "asked for" if all_ else _useless(entry, mine, older_than)
            if reason:
                clear(entry.path, reason, remove_kept)
        for path in list(cache.leftovers()) if held else []:
            clear(path, "left by a writer", Path.unlink)
    click.echo(f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
    if stuck:
        raise click.ClickException(f"cannot remove {', '.join(stuck)}: remove it yourself")


def _this_machine() -> dict[str, str | int] | None:
    """Return what plans of this machine depend on; None where TensorRT cannot be asked."""
    try:
        return machine_parts(load_libraries())
    except ConfigError:
        return None


def _whose(entry: CachedPlan, mine: dict[str, str | int] | None) -> str:
    """Say of which machine a plan is."""
    key = entry.about.get("key", {})
    if mine is not None and all(key.get(name) == value for name, value in mine.items()):
        return "this machine"
    other = f"{key.get('gpu')}, TensorRT {key.get('tensorrt')}, driver {key.get('driver')}"
    return other if mine is None else f"another: {other}"


def _useless(entry: CachedPlan, mine: dict[str, str | int] | None, older_than: int | None) -> str:
    """Say why nobody needs a file any more; empty if somebody may."""
    if entry.damage:
        return entry.damage
    whose = _whose(entry, mine)
    if whose.startswith("another: "):
        return f"of another machine ({whose.removeprefix('another: ')})"
    if older_than is not None and entry.path.suffix == ".plan":
        built = datetime.fromtimestamp(_written(entry.path), timezone.utc)
        if datetime.now(timezone.utc) - built > timedelta(days=older_than):
            return f"older than {older_than} days"
    return ""


def _written(path: Path) -> float:
    told = meta_of(path)
    return (told if told.exists() else path).lstat().st_mtime
