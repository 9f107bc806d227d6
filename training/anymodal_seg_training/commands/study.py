"""``anymodal-train study STUDY OUT``: train, recalibrate and evaluate every run, then compare."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.runs.command_line import machine_options, run_command
from anymodal_seg_training.studies.comparison import compare, comparison_tables, markdown_table
from anymodal_seg_training.studies.study import PlannedRun, load_study

_LOOK_EVERY_S = 0.5
_TRAIN, _RECALIBRATE, _EVALUATE = (
    "anymodal_seg_training.train",
    "anymodal_seg_training.export.recalibration",
    "anymodal_seg_training.commands.evaluate",
)


@dataclass(slots=True)
class _Job:
    """A run that is being done: the process that does it, and the commands that come after."""

    run: PlannedRun
    commands: list[list[str]]
    process: subprocess.Popen[bytes] | None = None

    def go_on(self) -> None:
        """Start the next command."""
        command = self.commands.pop(0)
        with _output(self.run).open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


class Runner:
    """Runs commands of the trainer in processes of their own, several at a time."""

    def __init__(self, jobs: int, options: list[str]) -> None:
        """Do at most ``jobs`` runs at a time, with these options for every command."""
        self._most = jobs
        self._options = options
        self._jobs: list[_Job] = []

    def run(self, planned: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Do the runs that are not finished yet, and go on with those that were begun.

        Returns:
            Those that failed, and those that wait for a run that is not finished.
        """
        waiting = [run for run in planned if not run.finished]
        failed: list[PlannedRun] = []
        # As an exception, because who stops this means the runs under way, too.
        before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            while self._jobs or any(map(_ready, waiting)):
                for run in filter(_ready, list(waiting)):
                    if len(self._jobs) < self._most:
                        waiting.remove(run)
                        self._begin(run)
                time.sleep(_LOOK_EVERY_S)
                failed += self._look()
        finally:
            processes = [job.process for job in self._jobs if job.process is not None]
            for process in processes:
                process.terminate()
            for process in processes:  # who starts again at once finds their folders free
                process.wait()
            signal.signal(signal.SIGTERM, before)
        return failed + waiting

    def _begin(self, run: PlannedRun) -> None:
        folder = run.folder.path
        folder.mkdir(parents=True, exist_ok=True)
        recipe = folder / "planned.yaml"
        run.folder.write_yaml(recipe, run.recipe.plain())
        trains = [_TRAIN, str(recipe), "--run-dir", str(folder), "--resume"]
        recalibrates = [_RECALIBRATE, str(folder)]
        evaluates = [_EVALUATE, str(folder), "--benchmark", "--rmm-half-only"]
        commands = [
            [sys.executable, "-m", *arguments, *self._options]
            for arguments in (trains, recalibrates, evaluates)
        ]
        job = _Job(run, commands)
        job.go_on()
        self._jobs.append(job)
        click.echo(f"{folder.name}: begins; its output is in {_output(run)}")

    def _look(self) -> list[PlannedRun]:
        """Go on with the runs whose command has ended; return those that failed."""
        failed = []
        for job in list(self._jobs):
            assert job.process is not None
            code = job.process.poll()
            if code is None:
                continue
            if code == 0 and job.commands:
                job.go_on()
                continue
            self._jobs.remove(job)
            name = job.run.folder.path.name
            click.echo(f"{name}: {'done' if code == 0 else f'failed, see {_output(job.run)}'}")
            if code != 0:
                failed.append(job.run)
        return failed


def _ready(run: PlannedRun) -> bool:
    """Whether what a run waits for is there."""
    return run.after is None or run.after.result_file("test").is_file()


def _output(run: PlannedRun) -> Path:
    return run.folder.path / "output.txt"


def _make_folder_of(table: Path) -> None:
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--table is {str(table)!r}, whose folder cannot be made: {error}"
        ) from error


def _write(table: Path, content: str) -> None:
    try:
        table.write_text(content, encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"cannot write --table {table}: {error}; the runs are kept: start again to write it"
        ) from error


@click.command("study")
@click.argument("study", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time."
)
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the table to as well, as Markdown.",
)
@click.option("--only", multiple=True, help="Name of a method to run; may be given several times.")
@machine_options
def main(
    study: Path,
    out: Path,
    jobs: int,
    table: Path | None,
    only: tuple[str, ...],
    device: str,
    threads: int,
    workers: int,
    cache_dir: Path,
) -> None:
    """Train and evaluate every method that STUDY compares, in run folders below OUT.

    Between the two, the statistics of every set of sensors are measured anew. Can be stopped and
    started again: what is finished is not done again, what was begun goes on.
    """

    def command() -> None:
        chosen = load_study(study)
        known = [method.name for method in chosen.methods]
        if unknown := sorted(set(only) - set(known)):
            raise ConfigError(f"--only is {unknown[0]!r}: expected one of {', '.join(known)}")
        if table is not None:  # days of training come before it is written
            _make_folder_of(table)
        every = chosen.runs(out)
        for run in every:
            run.check_same()
        runs = [run for run in every if not only or run.method.name in only]
        options = ["--device", device, "--threads", str(threads), "--workers", str(workers)]
        failed = Runner(jobs, [*options, "--cache-dir", str(cache_dir)]).run(runs)
        rows = compare(chosen, out)
        PlainConsole().print(*comparison_tables(rows))
        if table is not None:
            _write(table, markdown_table(rows))
        if failed:
            names = ", ".join(run.folder.path.name for run in failed)
            raise TrainingError(f"not finished: {names}; start again to go on with them")

    run_command(command, "start again to go on, with the runs under way, too")


if __name__ == "__main__":
    main()
