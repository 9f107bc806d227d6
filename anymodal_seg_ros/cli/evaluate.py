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
from click.core import ParameterSource

from anymodal_seg_ros.cli.conclusion import COMMAND, EXIT_UNKNOWN, conclude
from anymodal_seg_ros.cli.finite_range import FiniteRange
from anymodal_seg_ros.cli.jobs_progress import jobs_progress
from anymodal_seg_ros.cli.one_of import OneOf
from anymodal_seg_ros.cli.os_errors import told
from anymodal_seg_ros.cli.output_places import make_folder, make_place
from anymodal_seg_ros.cli.plain_console import PlainConsole
from anymodal_seg_ros.config import NODE_NAME
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.naive import PIPELINES
from anymodal_seg_ros.evaluation.scorecard import contents
from anymodal_seg_ros.evaluation.scorecard.agreement import with_agreement
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, HEALTHY, NAME, Case
from anymodal_seg_ros.evaluation.scorecard.fleet import reasons_by_name, run_jobs
from anymodal_seg_ros.evaluation.scorecard.gate import VERSION, Check, load_gate, parse_gate
from anymodal_seg_ros.evaluation.scorecard.job import AUTO, Job
from anymodal_seg_ros.evaluation.scorecard.plan import Trial, jobs_of, names_of
from anymodal_seg_ros.evaluation.scorecard.result_bag import write_result_bag
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard, write_failures
from anymodal_seg_ros.evaluation.scorecard.suite import Entry, load_suite, trials_of
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
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    help="Instead of BAGS: a YAML file with bags, models, timelines and conditions.",
)
@click.option("--model", help="Model folder, or name of a bundled model; wins over the file's.")
@click.option(
    "--params",
    "params",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The node's parameter file, or several as for the node: the last one wins.  [default: "
    "rig.yaml in the bag's folder, else the four-sensor rig of the demo]",
)
@click.option("--engine", help="auto, onnxruntime, openvino or torch; wins over the file's.")
@click.option(
    "--pipeline",
    default=PIPELINES[0],
    show_default=True,
    type=OneOf(PIPELINES),
    help="naive: to compare with, how most nodes do it: the usual synchroniser (the rule of "
    "ApproximateTimeSynchronizer), zeros for what is missing, no watchdog.",
)
@click.option(
    "--namespace",
    help="That the node is in, and its relative topics.  [default: the parameter file's]",
)
@click.option(
    "--node", default=NODE_NAME, show_default=True, help="Name of the node in the parameter file."
)
@click.option(
    "--latency",
    default="none",
    show_default=True,
    metavar="none|measured|fixed:MS",
    help="How long the node is busy with a mask, in the bag's time: frames are dropped as on a "
    "robot whose network is slower than its cameras. measured: as long as on this machine.",
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    help="Break the sensors as this timeline says, and compare with the replay without.",
)
@click.option(
    "--recorded-faults",
    type=click.Path(path_type=Path),
    help="The timeline of faults that the bag was recorded with: measured, not injected.",
)
@click.option("--sweep", is_flag=True, help="Try every subset, and every fault on every sensor.")
@click.option(
    "--kinds",
    multiple=True,
    metavar="KIND,KIND",
    help="In a sweep, only faults of these kinds.",
)
@click.option(
    "--moments",
    default="0.4",
    show_default=True,
    help="In a sweep, when faults begin: shares of the bag's length, with commas.",
)
@click.option(
    "--fault-seconds",
    default=2.0,
    show_default=True,
    type=FiniteRange(min=0.1, max=3600.0),
    help="In a sweep, how long faults last.",
)
@click.option(
    "--subsets/--no-subsets", default=True, help="In a sweep, every subset.  [default: yes]"
)
@click.option(
    "--labels",
    default=AUTO,
    show_default=True,
    help="Ground truth: a topic ({sensor} stands for each sensor), a folder of STAMP.png, 'none', "
    "or 'auto' for topics /SENSOR/labels beside the images.",
)
@click.option(
    "--agree-with",
    metavar="MODEL",
    help="Without labels: compare with the masks of another model, by the names of its classes.",
)
@click.option(
    "--label-map", type=click.Path(path_type=Path), help="YAML 'id: class' for labels of other ids."
)
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="[BAG=]WORD",
    help="Under which a bag was recorded, e.g. night; BAG is its name without folder.",
)
@click.option("--require", type=click.Path(path_type=Path), help="Gate: what the figures must be.")
@click.option("--baseline", type=click.Path(path_type=Path), help="An earlier scorecard.")
@click.option(
    "--max-drop",
    type=FiniteRange(min=0.0, max=1.0),
    help="How far the mIoU may be below the baseline's, besides what --require says.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write the verdict as JUnit XML.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Judge this scorecard again, and write its report anew; nothing is replayed.",
)
@click.option(
    "--out",
    default=Path("scorecard"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder, new or with a scorecard. What is finished in it is not done again; another "
    "evaluation in it is replaced only if you name it.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1, max=256),
    help="Processes. The figures do not depend on it.",
)
@click.option(
    "--cluster",
    default="",
    metavar="ADDRESS|local:N",
    help="Replay on the workers of this Dask scheduler, e.g. tcp://head:8786, or on N workers of "
    "this machine. They see bags and models under the same paths.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Play the bag to a segmentation node that is running, and measure the masks that it "
    "publishes. 'ros2 launch anymodal_seg_ros replay.launch.py' starts both.",
)
@click.option(
    "--rate",
    default=1.0,
    show_default=True,
    type=FiniteRange(min=0.01, max=100.0),
    help="With --live, seconds of the bag in a second; the node must have use_sim_time.",
)
@click.option(
    "--player",
    default="auto",
    show_default=True,
    type=OneOf(("auto", "ros2", "own")),
    help="With --live, what plays the bag: 'ros2 bag play' where it is installed, or our own.",
)
@click.option(
    "--wait",
    "wait_s",
    default=120.0,
    show_default=True,
    type=FiniteRange(min=0.0),
    help="With --live, seconds to wait at most for the node to listen.",
)
@click.option(
    "--bag",
    type=click.Path(path_type=Path),
    help="Write a bag with the recorded messages, the masks, overlays and states of the sensors.",
)
def command(bags: tuple[Path, ...], source: Path | None, out: Path, **options: object) -> None:
    """Replay BAGS with and without faults, and measure what becomes of the masks.

    The bag's log times are the clock, so the figures are the same on every machine, however slow.
    OUT gets report.html, scorecard.json, scorecard.csv and all runs.

    \b
    Exit code: 0 passed (or nothing was required), 1 a required figure failed, 2 could not judge.
    """  # noqa: D301  a backspace is what click takes
    if (bool(bags), source is not None, options["suite"] is not None).count(True) != 1:
        raise click.UsageError("give either BAGS, or --suite FILE, or --from SCORECARD")
    _refuse_idle_options(source is not None, options)
    try:
        with _sigterm_as_ctrl_c():
            sys.exit(_evaluate(bags, source, out, _Options(**options)))  # type: ignore[arg-type]
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


_OF_BAGS = (
    *("params", "model", "engine", "pipeline", "namespace", "node", "latency", "faults"),
    *("recorded_faults", "sweep", "labels", "agree_with", "label_map", "conditions"),
)
_OF_A_SWEEP = ("kinds", "moments", "fault_seconds", "subsets")
_OF_A_LIVE_NODE = ("rate", "player", "wait_s")
_OF_REPLAYS = ("cluster", "live", "bag")
_NOT_LIVE = ("pipeline", "latency", "agree_with", "workers", "cluster", "bag")


def _refuse_idle_options(judged_again: bool, options: dict[str, object]) -> None:
    """Refuse options that change nothing: whoever gave one expects that it does."""
    ctx = click.get_current_context()
    given = {p.name: p for p in ctx.command.params if _was_given(ctx, p)}

    def refuse(names: Sequence[str], why: str) -> None:
        for parameter in (given[name] for name in names if name in given):
            raise click.UsageError(f"{parameter.opts[0]} changes nothing {why}", ctx)

    if judged_again:
        everything = (*_OF_BAGS, *_OF_A_SWEEP, *_OF_A_LIVE_NODE, *_OF_REPLAYS)
        refuse(everything, "with --from, which replays nothing")
    if options["suite"] is not None:
        refuse((*_OF_BAGS, *_OF_A_SWEEP), "with --suite, whose entries say it")
    if not options["sweep"]:
        refuse(_OF_A_SWEEP, "without --sweep")
    if options["live"]:
        refuse(_NOT_LIVE, "with --live, whose masks the running node makes")
    else:
        refuse(_OF_A_LIVE_NODE, "without --live")
    if options["require"] is None and options["max_drop"] is None:
        refuse(("junit", "baseline"), "unless something is required: give --require or --max-drop")


def _was_given(ctx: click.Context, parameter: click.Parameter) -> bool:
    source = ctx.get_parameter_source(parameter.name or "")
    return source is not None and source is not ParameterSource.DEFAULT


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    """The options of the command, as they were given."""

    suite: Path | None
    model: str | None
    params: tuple[Path, ...]
    engine: str | None
    pipeline: str
    namespace: str | None
    node: str
    latency: str
    faults: Path | None
    recorded_faults: Path | None
    sweep: bool
    kinds: tuple[str, ...]
    moments: str
    fault_seconds: float
    subsets: bool
    labels: str
    agree_with: str | None
    label_map: Path | None
    conditions: tuple[str, ...]
    require: Path | None
    baseline: Path | None
    max_drop: float | None
    junit: Path | None
    workers: int
    cluster: str
    live: bool
    rate: float
    player: str
    wait_s: float
    bag: Path | None


def _evaluate(bags: Sequence[Path], source: Path | None, out: Path, options: _Options) -> int:
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


def _fill(bags: Sequence[Path], out: Path, options: _Options, console: PlainConsole) -> None:
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
    if _out_was_given() and out.resolve() != folder.resolve():
        raise ConfigError(
            f"--out is {out}, but --from writes the report anew where the scorecard is, into "
            f"{folder}: leave out --out, or judge a copy of the scorecard"
        )


def _out_was_given() -> bool:
    ctx = click.get_current_context()
    return any(p.name == "out" and _was_given(ctx, p) for p in ctx.command.params)


def _folder_of(scorecard: Path) -> Path:
    return scorecard.parent if scorecard.is_file() else scorecard


def _checks(options: _Options) -> tuple[Check, ...] | None:
    """Return what is required; None if nothing is."""
    checks = load_gate(options.require) if options.require else ()
    if options.max_drop is not None:
        if options.baseline is None:
            raise ConfigError("--max-drop is below what? Give --baseline, an earlier scorecard")
        drop = {"figure": "miou", "max_drop": options.max_drop}
        checks = (*checks, *parse_gate({"version": VERSION, "checks": [drop]}))
    return checks or None


def _replay(trials: Sequence[Trial], out: Path, options: _Options, console: PlainConsole) -> None:
    """Do what is not done yet."""
    agreeing, unable = _with_agreement(trials, out)
    jobs, failures = jobs_of(agreeing, out)
    failures |= unable
    _begin(out, jobs, console)
    with jobs_progress(console) as progress:
        failed = run_jobs(jobs, options.workers, progress, options.cluster)
    _remember(out, jobs, failures | reasons_by_name(failed))


def _play_live(
    trials: Sequence[Trial], out: Path, options: _Options, console: PlainConsole
) -> None:
    """Let a node that is running segment the bag, anew every time."""
    try:
        from anymodal_seg_ros.nodes.evaluator import LiveOptions, evaluate_live
        from anymodal_seg_ros.nodes.shutdown import ros_session
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
    """Tell what of an earlier command is made anew, and write down what is asked for.

    Raises:
        ConfigError: nobody named the folder, and it holds another evaluation.
    """
    if not _out_was_given() and (names := contents.replaced(out, jobs)):
        raise ConfigError(
            f"{out} holds {_some_of(names)} of another command, or of a bag, a model or parameters "
            f"that have changed since: keep it and give --out ANOTHER, or replace it by --out {out}"
        )
    if names := contents.outdated(jobs):
        console.say(
            f"{_some_of(names)} in {out}: of another command, or of a bag, a model or "
            "parameters that have changed since; made anew"
        )
    contents.begin(out, jobs)


def _some_of(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


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


def _trials(bags: Sequence[Path], options: _Options) -> list[Trial]:
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
