"""``anymodal-seg evaluate``: bags to a scorecard, and a verdict that can stop a release."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from anymodal_seg_ros.cli.console.jobs_progress import jobs_progress
from anymodal_seg_ros.cli.console.os_errors import told
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.cli.evaluation.conclusion import COMMAND, EXIT_UNKNOWN, conclude
from anymodal_seg_ros.cli.evaluation.evaluate_options import (
    Options,
    evaluation_options,
    refuse_idle_options,
    was_given,
)
from anymodal_seg_ros.cli.options.output_places import make_folder, make_place
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.scorecard import contents
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, HEALTHY, NAME, Case
from anymodal_seg_ros.evaluation.scorecard.plan import Trial, jobs_of, names_of
from anymodal_seg_ros.evaluation.scorecard.replays.agreement import with_agreement
from anymodal_seg_ros.evaluation.scorecard.replays.fleet import reasons_by_name, run_jobs
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job
from anymodal_seg_ros.evaluation.scorecard.replays.result_bag import write_result_bag
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard, write_failures
from anymodal_seg_ros.evaluation.scorecard.suite import Entry, load_suite, trials_of
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import VERSION, Check, load_gate, parse_gate
from anymodal_seg_ros.written_files import write_file

_EXAMPLES = """\b
Examples:
  anymodal-seg evaluate drive --params drive/rig.yaml --out scorecard
  anymodal-seg evaluate drive --params drive/rig.yaml --sweep --require gate.yaml
  anymodal-seg evaluate --from scorecard --require stricter.yaml
"""

AGREEMENT = "agreement"
"""Name in the folder: the masks of another model."""


@click.command("evaluate", epilog=_EXAMPLES)
@click.argument("bags", nargs=-1, type=click.Path(path_type=Path))
@evaluation_options
def command(bags: tuple[Path, ...], source: Path | None, out: Path, **options: object) -> None:
    """Replay BAGS with and without faults, and measure what becomes of the masks.

    The bag's log times are the clock, so the figures are the same on every machine, however slow.
    OUT gets report.html, scorecard.json, scorecard.csv and all runs.

    \b
    Exit code: 0 passed (or nothing was required), 1 a required figure failed, 2 could not judge.
    """  # noqa: D301  a backspace is what click takes
    if (bool(bags), source is not None, options["suite"] is not None).count(True) != 1:
        raise click.UsageError("give either BAGS, or --suite FILE, or --from SCORECARD")
    refuse_idle_options(source is not None, options)
    try:
        with _sigterm_as_ctrl_c():
            sys.exit(_evaluate(bags, source, out, Options(**options)))  # type: ignore[arg-type]
    except KeyboardInterrupt:
        click.echo(
            f"Stopped. What is finished is kept in {out}: the same command goes on from there",
            err=True,
        )
        sys.exit(EXIT_UNKNOWN)
    except (AnymodalError, OSError) as error:  # such as a disk that is full
        click.echo(f"Error: {told(error)}", err=True)
        sys.exit(EXIT_UNKNOWN)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let ``timeout``, or a CI that gives up, end the workers and leave nothing half-written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is signal.default_int_handler:  # not after --live
            signal.signal(signal.SIGTERM, before)


def _evaluate(bags: Sequence[Path], source: Path | None, out: Path, options: Options) -> int:
    """Replay, measure, judge; returns the exit code."""
    console = PlainConsole()
    checks = _checks(options)
    make_place(options.junit)
    if source is None:
        make_folder(out)
    baseline = load_scorecard(options.baseline) if options.baseline else None
    judged = _folder_of(source) if source else out
    if baseline is not None and baseline.folder.resolve() == judged.resolve():
        raise ConfigError(
            f"--baseline is {options.baseline}, the scorecard that is to be judged: it would be "
            "compared with itself. Give an earlier one, or another --out"
        )
    with contents.held(out) if source is None else nullcontext():
        if source is None:
            _fill(bags, out, options, console)
        card = load_scorecard(source or out)
        if source is not None:
            _refuse_another_place(source, out)
        return conclude(card, checks, baseline, options.junit, console)


def _fill(bags: Sequence[Path], out: Path, options: Options, console: PlainConsole) -> None:
    """Do what is asked for, as far as it is not done yet."""
    trials = load_suite(options.suite) if options.suite else _trials(bags, options)
    shown = _case_of_bag(trials, options.bag) if options.bag else None
    contents.claim(out)
    if options.live:
        _play_live(trials, out, options, console)
    else:
        _replay(trials, out, options, console)
    if options.bag and shown is not None:
        masks = write_result_bag(trials[0].subject, shown, options.bag)
        console.say(f"{masks} masks in the bag {options.bag}")


def _refuse_another_place(source: Path, out: Path) -> None:
    """Refuse a folder to write to that is not the scorecard's own, which would be written to."""
    folder = _folder_of(source)
    if was_given("out") and out.resolve() != folder.resolve():
        raise ConfigError(
            f"--out is {out}, but --from writes the report anew where the scorecard is, into "
            f"{folder}: leave out --out, or judge a copy of the scorecard"
        )


def _folder_of(scorecard: Path) -> Path:
    return scorecard.parent if scorecard.is_file() else scorecard


def _checks(options: Options) -> tuple[Check, ...] | None:
    """Return what is required; None if nothing is."""
    checks = load_gate(options.require) if options.require else ()
    if options.max_drop is not None:
        if options.baseline is None:
            raise ConfigError("--max-drop is below what? Give --baseline, an earlier scorecard")
        drop = {"figure": "miou", "max_drop": options.max_drop}
        checks = (*checks, *parse_gate({"version": VERSION, "checks": [drop]}))
    return checks or None


def _replay(trials: Sequence[Trial], out: Path, options: Options, console: PlainConsole) -> None:
    """Do what is not done yet."""
    agreeing, unable = _with_agreement(trials, out)
    jobs, failures = jobs_of(agreeing, out)
    failures |= unable
    _begin(out, jobs, console)
    with jobs_progress(console) as progress:
        failed = run_jobs(jobs, options.workers, progress, options.cluster)
    _remember(out, jobs, failures | reasons_by_name(failed))


def _play_live(trials: Sequence[Trial], out: Path, options: Options, console: PlainConsole) -> None:
    """Let a node that is running segment the bag, anew every time."""
    try:
        from anymodal_seg_ros.nodes.process.shutdown import ros_session
        from anymodal_seg_ros.nodes.replay.evaluator import LiveOptions, evaluate_live
    except ImportError as error:
        raise ConfigError(
            f"--live needs ROS 2 ({error}): source an installation, "
            "or pip install 'anymodal_seg_ros[ros]'"
        ) from error
    if len(trials) != 1 or trials[0].timelines or trials[0].sweep:
        raise ConfigError("--live is for one bag, without --faults and --sweep")
    jobs, failures = jobs_of(trials, out)
    jobs = [dataclasses.replace(job, live=True) for job in jobs]
    _begin(out, jobs, console)
    how = LiveOptions(options.rate, options.player, options.wait_s)
    for job in jobs:
        with ros_session(["anymodal-seg"]) as stop:
            evaluate_live(job, how, stop, console.say)
    _remember(out, jobs, failures)


def _begin(out: Path, jobs: Sequence[Job], console: PlainConsole) -> None:
    """Tell what of an earlier command is made anew, and write down what is asked for."""
    if names := contents.outdated(jobs):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        console.say(
            f"{names[0]}{more} in {out}: of another command, or of a bag, a model or parameters "
            "that have changed since; made anew (--out ANOTHER would keep both)"
        )
    contents.begin(out, jobs)


def _remember(out: Path, jobs: Sequence[Job], failures: dict[str, str]) -> None:
    """Write down what is there, what could not be evaluated, and the command."""
    contents.conclude(out, jobs)
    write_failures(out, failures)
    if out.is_dir():
        command = shlex.join(("anymodal-seg", *sys.argv[1:]))
        # Names of files may be of another encoding.
        write_file(out / COMMAND, command.encode(errors="surrogateescape"))


def _case_of_bag(trials: Sequence[Trial], path: Path) -> Case:
    """Return what a bag of results shows, before hours of replays find that it cannot be kept."""
    if len(trials) != 1 or len(trials[0].timelines) > 1:
        raise ConfigError("--bag is for one bag, with one timeline of faults at most")
    if path.exists():
        raise ConfigError(f"--bag is {path}, which exists already: choose another name")
    make_folder(path.parent)
    return next((Case(FAULTS, t) for t in trials[0].timelines.values()), Case(HEALTHY))


def _with_agreement(trials: Sequence[Trial], out: Path) -> tuple[list[Trial], dict[str, str]]:
    """Let other models make the labels that are to be agreed with.

    Returns:
        The trials, and why bags have no such labels, by their names.
    """
    found: list[Trial] = []
    failures: dict[str, str] = {}
    for trial in trials:
        subject = trial.subject
        if subject.truth.agree_with:
            try:
                subject = with_agreement(subject, out / AGREEMENT / subject.name)
            except AnymodalError as error:
                failures[subject.name] = str(error)
                continue
        found.append(dataclasses.replace(trial, subject=subject))
    return found, failures


def _trials(bags: Sequence[Path], options: Options) -> list[Trial]:
    """Turn what was asked for on the command line into what a suite would say."""
    names = names_of(bags)
    conditions = _conditions(options.conditions, names)
    found: list[Trial] = []
    for bag, name in zip(bags, names, strict=True):
        entry = Entry(
            bags=(str(bag),),
            name=name,
            condition=conditions[name],
            params=tuple(map(str, options.params)),
            models=(options.model,) if options.model else (),
            engine=options.engine or "",
            pipeline=options.pipeline,
            namespace=options.namespace or "",
            node=options.node,
            latency=options.latency,
            faults=(str(options.faults),) if options.faults else (),
            recorded_faults=str(options.recorded_faults or ""),
            labels=options.labels,
            label_map=str(options.label_map or ""),
            agree_with=options.agree_with or "",
            sweep=options.sweep,
            kinds=tuple(kind for given in options.kinds for kind in given.split(",") if kind),
            moments=_moments(options.moments),
            fault_seconds=options.fault_seconds,
            subsets=options.subsets,
        )
        found += trials_of(entry, Path())
    return found


def _moments(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--moments is {text!r}: expected numbers with commas") from error
    return found


def _conditions(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the condition of every bag; one without a name is for all that have none."""
    found = dict.fromkeys(names, "")
    for text in sorted(given, key=lambda entry: "=" in entry):
        bag, equals, word = text.rpartition("=")
        if not NAME.fullmatch(word) or (equals and bag not in found):
            raise ConfigError(
                f"--condition is {text!r}: expected a word of letters, digits, '_', '.' and '-', "
                f"or BAG=WORD with one of the bags {', '.join(names)}"
            )
        found.update(dict.fromkeys([bag] if equals else names, word))
    return found
