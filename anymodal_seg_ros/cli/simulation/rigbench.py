"""``anymodal-seg simulate rigbench``: the benchmark to a folder, or a folder checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from anymodal_seg_ros.cli.console.frames_progress import WORKERS, frames_progress
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.options.output_places import make_place
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.manifest import (
    DatasetManifest,
    compare,
    folder_digests,
    read_manifest,
    this_machine,
    write_manifest,
)
from anymodal_seg_ros.simulation.dataset.rigbench import MANIFEST, rigbench
from anymodal_seg_ros.simulation.dataset.writer import write_dataset

_SHOWN = 5


@click.command("rigbench")
@click.argument("out", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--check",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Only compare the files of a generated FOLDER with the manifest.",
)
@click.option(
    "--write-manifest",
    "manifest_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a manifest of what was generated; for those who publish a version.",
)
@WORKERS
def command(out: Path | None, check: Path | None, manifest_path: Path | None, workers: int) -> None:
    """Generate RigBench, the fixed benchmark of this package, into OUT.

    Every kind of place in every weather, without and with every sensor failure, in each of the
    splits; no scene in two splits. The files have the layout of DELIVER. A run that was stopped
    goes on when it is started again. At the end, every frame is compared with the manifest that
    comes with the package: one SHA-256 over its pixels, whatever the PNG files look like.

    \b
      anymodal-seg simulate rigbench rigbench
      anymodal-seg simulate rigbench --check rigbench
    """  # noqa: D301  a backspace is what click takes
    if (out is None) == (check is None):
        raise click.UsageError("give either OUT to generate, or --check FOLDER")
    bench, console = rigbench(), PlainConsole()
    config = bench.dataset()
    if check is not None:
        with frames_progress("hashing", console) as progress:
            digests = folder_digests(check, config, workers, progress)
        sys.exit(_tell(digests, console))
    assert out is not None
    make_place(manifest_path)
    started = time.monotonic()
    with frames_progress(f"drawing {bench.title}", console) as progress:
        digests = write_dataset(out, config, workers, progress)
    size = sum(path.stat().st_size for path in out.rglob("*.png"))
    console.print(
        f"{out}: {config.frames} frames of {len(config.plans)} scenes, {size / 1e6:.0f} MB, "
        f"in {time.monotonic() - started:.0f} s with {workers} workers",
        soft_wrap=True,
    )
    if manifest_path is not None:
        write_manifest(manifest_path, DatasetManifest(this_machine(), digests), bench.title)
        console.print(f"manifest: {manifest_path}", soft_wrap=True)
        return
    _tell(digests, console)


def _tell(digests: Mapping[str, str], console: PlainConsole) -> int:
    """Say how frames compare with the manifest; 0 if all are equal, else 1."""
    if not MANIFEST.exists():
        raise ConfigError(f"this version of the package has no manifest at {MANIFEST}")
    manifest = read_manifest(MANIFEST)
    result = compare(digests, manifest.digests)
    console.print(f"{result.equal} of {len(manifest.digests)} frames equal the manifest")
    if result.holds:
        return 0
    for title, names in (
        ("differ", result.different),
        ("are missing", result.missing),
        ("are not in the manifest", result.surplus),
    ):
        if names:
            more = " …" if len(names) > _SHOWN else ""
            console.print(f"{len(names)} {title}: {', '.join(names[:_SHOWN])}{more}")
    here = this_machine()
    for key, value in manifest.machine.items():
        if here.get(key) != value:
            console.print(f"the manifest was made with {key} {value}, here it is {here.get(key)}")
    return 1
