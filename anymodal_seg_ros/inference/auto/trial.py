"""Tries an engine out in a process of its own: does it load, is it right, how fast is it?

A process of its own, because a library may end its process where something is missing, keeps its
threads and memory for good, and measures best alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from anymodal_seg_ros.errors import AnymodalError, ConfigError, ModelError
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.hardware.processors import usable_processors
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.loading import wait_in_time
from anymodal_seg_ros.inference.verification.self_test import (
    EXACT,
    HALF,
    agreements,
    frame_of_all,
    read_self_test,
)

MODULE = "anymodal_seg_ros.inference.auto.trial_process"

LIMIT_S = 30.0
"""What takes longer to load, to be tested and to be timed is not tried any longer."""

RUNS, RUNS_S = 7, 1.0
"""Masks that are timed at most, and about how long."""


@dataclass(frozen=True, slots=True)
class EngineTrial:
    """How an engine did.

    Attributes:
        kind: of the engine, e.g. ``openvino``.
        engine: engine and device, e.g. ``openvino cpu``; empty if it did not load.
        ms: shortest time of a mask of all sensors, in ms.
        words: how the self-test went.
        problem: why it cannot be taken, to be read after its kind; empty if it can.
        late: whether it took too long on a machine that is busy with other things now.
    """

    kind: str
    engine: str = ""
    ms: float = 0.0
    words: str = ""
    problem: str = ""
    late: bool = False


def tested(engine: Engine, model: Model) -> str:
    """Hold an engine to the self-test of its model and say how it went.

    Raises:
        ModelError: it did not pass.
    """
    test = read_self_test(model)
    if test is None:
        return "not tested: the model folder has no self-test"
    shares = agreements(engine, test)
    worst = min(shares, key=lambda subset: shares[subset])
    needed = EXACT if engine.name.endswith("cpu") else HALF
    if shares[worst] < needed:
        names = names_by_id(model.manifest.modalities)
        raise ModelError(
            f"with {'+'.join(names[row] for row in worst)} only {100 * shares[worst]:.2f} % of the "
            f"pixels have the right class: expected {100 * needed:.2f} %"
        )
    return f"{len(shares)} subsets right in at least {100 * shares[worst]:.2f} % of the pixels"


def try_engine(kind: str, make: Callable[[str], Engine], model: Model) -> EngineTrial:
    """Load an engine in this process, test it and time it."""
    try:
        engine = make(kind)
        words = tested(engine, model)
        return EngineTrial(kind, engine.name, mask_ms(engine, model), words)
    except ConfigError as error:
        return EngineTrial(kind, problem=_short(kind, error))
    except (AnymodalError, RuntimeError, OSError) as error:
        return EngineTrial(kind, problem=f"failed: {error}")


def mask_ms(engine: Engine, model: Model) -> float:
    """Return the shortest time that a mask of all sensors takes, in ms, after one to warm up."""
    frame = frame_of_all(model)
    best, ended = float("inf"), time.perf_counter() + RUNS_S
    for turn in range(RUNS + 1):
        started = time.perf_counter()
        if can_split(engine):
            engine.fuse(engine.encode(frame))
        else:
            engine.run(frame)
        now = time.perf_counter()
        if turn:
            best = min(best, now - started)
        if turn and now > ended:
            break
    return best * 1e3


def try_apart(
    kind: str, model: Model, threads: int, confidence: bool, providers: str
) -> EngineTrial:
    """Do as :func:`try_engine` in a process of its own, within :data:`LIMIT_S`.

    Raises:
        GivenUpError: this process was told to end.
    """
    command = [sys.executable, "-m", MODULE, str(model.folder.absolute()), kind]
    command += [str(threads), str(int(confidence)), providers, str(os.getpid())]
    try:
        done = _run(command)
    except OSError as error:
        return EngineTrial(kind, problem=f"could not be tried: {error}")
    if done is None:
        late = os.getloadavg()[0] > usable_processors()
        return EngineTrial(kind, problem=f"was not ready after {LIMIT_S:g} s", late=late)
    try:
        return EngineTrial(**json.loads(done.stdout.strip().rpartition("\n")[2]))
    except (ValueError, TypeError):
        last = done.stderr.strip().rpartition("\n")[2]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        return EngineTrial(kind, problem=f"ended its process with {how}{last and f': {last:.200}'}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a trial to its end; None if that does not come in time. It is never left behind."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment) as process,
    ):

        def ended(seconds: float) -> bool:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            return process.returncode is not None

        try:
            if not wait_in_time(ended, LIMIT_S):
                return None
        finally:
            process.kill()
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read())
        return subprocess.CompletedProcess(command, process.returncode, *said)


def _short(kind: str, error: ConfigError) -> str:
    """Say that a library is not installed in as many words; others in their own."""
    cause = error.__cause__
    # Not what it needs itself: that is told by its name.
    missing = isinstance(cause, ModuleNotFoundError) and cause.name == kind
    return "not installed" if missing else f"cannot be used: {error}"
