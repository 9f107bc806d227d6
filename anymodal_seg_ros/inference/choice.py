"""``engine: auto``: the fastest engine that is installed and right on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from anymodal_seg_ros.errors import AnymodalError, ConfigError, ModelError
from anymodal_seg_ros.inference.engines import Engine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.self_test import EXACT, HALF, agreements, read_self_test

Make = Callable[[str], Engine]
"""Creates an engine by its kind."""

PREFERRED = ("openvino", "onnxruntime", "torch")
"""From the fastest to the slowest on a CPU; on a GPU those that use it come first."""

ON_GPU_ONLY = ("tensorrt",)
"""Asked first where there is a GPU, and nowhere else."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and why it was taken.

    Attributes:
        engine: the engine.
        kind: what ``engine`` would have to be to get it.
        reason: in words, what the others lacked included.
    """

    engine: Engine
    kind: str
    reason: str


def choose(model: Model, make: Make, on_gpu: Collection[str] = ()) -> Choice:
    """Return the first engine, by preference, that loads and passes the self-test of the model.

    Args:
        model: an opened model folder.
        make: creates an engine.
        on_gpu: the kinds that may use a GPU that is there; they come first, if they do use it.

    Raises:
        ConfigError: none does; it says what each of them lacks.
    """
    passed_over = []
    tries = [(kind, True) for kind in (*ON_GPU_ONLY, *PREFERRED) if kind in on_gpu]
    for kind, on_gpu_only in [*tries, *((kind, False) for kind in PREFERRED)]:
        started = time.monotonic()
        try:
            engine = make(kind)
            if on_gpu_only and engine.name.endswith("cpu"):
                passed_over.append(f"{kind} does not use the GPU: it is built without CUDA")
                continue
            words = _tested(engine, model)
        except ConfigError as error:
            passed_over.append(f"{kind}: {error}")
        except (AnymodalError, RuntimeError, OSError) as error:
            passed_over.append(f"{kind} failed: {error}")
        else:
            seconds = time.monotonic() - started
            reason = f"{engine.name} was ready in {seconds:.1f} s, {words}"
            return Choice(engine, kind, "; ".join([reason, *passed_over]))
    raise ConfigError(
        f"engine is 'auto', but none can run the model {model.manifest.name}: "
        f"{'; '.join(passed_over)}"
    )


def _tested(engine: Engine, model: Model) -> str:
    """Hold an engine to the self-test of the model and say how it went.

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
        names = sorted(
            model.manifest.modalities, key=lambda name: model.manifest.modalities[name].id
        )
        raise ModelError(
            f"with {'+'.join(names[row] for row in worst)} only {100 * shares[worst]:.2f} % of the "
            f"pixels have the right class: expected {100 * needed:.2f} %"
        )
    return f"{len(shares)} subsets right in at least {100 * shares[worst]:.2f} % of the pixels"
