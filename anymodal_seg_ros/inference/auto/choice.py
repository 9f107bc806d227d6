"""``engine: auto``: the fastest engine that is installed and right on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.auto.choice_memory import ChoiceMemory, Remembered
from anymodal_seg_ros.inference.auto.trial import EngineTrial, tested
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.model import Model

Make = Callable[[str], Engine]
"""Creates an engine by its kind."""

PREFERRED = ("openvino", "onnxruntime", "torch")
"""In which order engines are tried, and preferred where they are as good as equally fast."""

LAST_RESORT = "torch"
"""Tried on a CPU only if no other one can be taken: it has never been the fastest there, and most
of a first start went by until that was found once more."""

ON_GPU_ONLY = ("tensorrt",)
"""Asked first where there is a GPU, and nowhere else. Not timed against the others."""

EQUAL = 1.05
"""Times the fastest engine that are as good as equal: one start must not differ from the next."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and why it was taken.

    Attributes:
        engine: the engine.
        kind: what ``engine`` would have to be to get it.
        reason: in words, what the others lacked included, e.g. ``8.1 ms a mask of all sensors
            against onnxruntime cpu 11.9 ms; … torch not installed``.
    """

    engine: Engine
    kind: str
    reason: str


def choose(
    model: Model,
    make: Make,
    attempt: Callable[[str], EngineTrial],
    on_gpu: Collection[str] = (),
    memory: ChoiceMemory | None = None,
    key: str = "",
) -> Choice:
    """Return the fastest engine that loads and passes the self-test of the model.

    What was found is remembered: the next time only the engine that was taken is loaded, and held
    to the self-test once more.

    Args:
        model: an opened model folder.
        make: creates an engine.
        attempt: tries one out, see :func:`~anymodal_seg_ros.inference.auto.trial.try_apart`.
        on_gpu: the kinds that may use a GPU that is there.
        memory: what was found before; None: nothing, and nothing is kept.
        key: of this model on this machine, in the memory.

    Raises:
        ConfigError: none does; it says what each of them lacks.
    """
    passed_over = []
    for kind in ON_GPU_ONLY:
        if kind in on_gpu:
            try:
                engine = make(kind)
                return Choice(engine, kind, f"it uses the GPU, {tested(engine, model)}")
            except (AnymodalError, RuntimeError, OSError) as error:
                passed_over.append(f"{kind}: {error}")
    if memory is not None and (known := memory.find(key)) is not None and known.kind in PREFERRED:
        try:
            engine = make(known.kind)
            tested(engine, model)
            return Choice(engine, known.kind, "; ".join([known.reason, *passed_over]))
        except (AnymodalError, RuntimeError, OSError) as error:
            passed_over.append(f"{known.kind}, which was taken before, failed: {error}")
    lacking: list[str] = []
    for kinds in _rounds(on_gpu):
        trials = [_without_idle_gpu(attempt(kind), on_gpu) for kind in kinds]
        lacking += [f"{trial.kind} {trial.problem}" for trial in trials if trial.problem]
        for taken in _candidates(trials):
            try:
                engine = make(taken.kind)
                if taken.late:
                    taken = replace(taken, words=tested(engine, model))
            except (AnymodalError, RuntimeError, OSError) as error:
                lacking.append(f"{taken.kind} failed: {error}")
                continue
            reason = "; ".join([_reason(taken, trials), *lacking])
            if memory is not None and not any(trial.late for trial in trials):
                unkept = memory.keep(key, Remembered(taken.kind, reason))
                passed_over += filter(None, [unkept])
            return Choice(engine, taken.kind, "; ".join([reason, *passed_over]))
    raise ConfigError(
        f"engine is 'auto', but none can run the model {model.manifest.name}: "
        f"{'; '.join([*lacking, *passed_over])}; see what 'anymodal-seg doctor' says"
    )


def _rounds(on_gpu: Collection[str]) -> list[tuple[str, ...]]:
    """Return what is tried first, and what only if nothing of that can be taken."""
    if LAST_RESORT in on_gpu:
        return [PREFERRED]
    return [tuple(kind for kind in PREFERRED if kind != LAST_RESORT), (LAST_RESORT,)]


def _without_idle_gpu(trial: EngineTrial, on_gpu: Collection[str]) -> EngineTrial:
    """Note where an engine runs on the CPU although there is a GPU that it might use."""
    if trial.kind in on_gpu and not trial.problem and trial.engine.endswith("cpu"):
        return replace(trial, words=f"{trial.words}; it does not use the GPU")
    return trial


def _candidates(trials: list[EngineTrial]) -> list[EngineTrial]:
    """Return what may be taken, the best first; last what was late on a busy machine.

    Where everything starts at once, as when a robot is switched on, a trial may end for no fault of
    the engine's.
    """
    late = [trial for trial in trials if trial.late]
    return [*_fastest_first([trial for trial in trials if not trial.problem]), *late]


def _fastest_first(trials: list[EngineTrial]) -> list[EngineTrial]:
    """Sort trials, those that are as good as equal to the fastest in the order of preference."""
    best = min((trial.ms for trial in trials), default=0.0)
    return sorted(trials, key=lambda trial: trial.ms if trial.ms > EQUAL * best else best)


def _reason(taken: EngineTrial, trials: list[EngineTrial]) -> str:
    """Say how fast it was, and the others; and how right it is."""
    if taken.late:
        return f"untimed, the machine being busy; {taken.words}"
    others = [
        f"{trial.engine} {trial.ms:.1f} ms"
        for trial in trials
        if trial is not taken and not trial.problem
    ]
    against = f" against {' and '.join(others)}" if others else ""
    return f"{taken.ms:.1f} ms a mask of all sensors{against}; {taken.words}"
