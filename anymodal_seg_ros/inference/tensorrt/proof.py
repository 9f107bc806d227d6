"""Plans are believed only where the model folder proves that they are right."""

from __future__ import annotations

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.engines import Engine
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.self_test import HALF, ROLE, agreements, read_self_test


def check_provable(model: Model) -> None:
    """Refuse a model that cannot prove its plans right; better before a build than after it.

    Raises:
        EngineError: it has no self-test, or no logits to compare.
    """
    if not model.has(ROLE) or "logits" not in model.manifest.outputs:
        lacking = "self-test" if "logits" in model.manifest.outputs else "output 'logits'"
        raise EngineError(
            f"the model {model.manifest.name} has no {lacking}, without which plans for TensorRT "
            "are not trusted: export the model again"
        )


def proven(engine: Engine, model: Model) -> float:
    """Hold an engine to the self-test of its model, for every subset of the sensors.

    Returns:
        Share of the pixels with the right class in the worst subset.

    Raises:
        EngineError: it is too small, or there is nothing to go by.
        ModelError: the self-test is damaged.
    """
    check_provable(model)
    test = read_self_test(model)
    assert test is not None
    shares = agreements(engine, test)
    worst = min(shares, key=lambda subset: shares[subset])
    if shares[worst] < HALF:
        names = names_by_id(model.manifest.modalities)
        raise EngineError(
            f"{engine.name} is wrong here: with {'+'.join(names[row] for row in worst)} only "
            f"{100 * shares[worst]:.2f} % of the pixels have the right class, expected "
            f"{100 * HALF:.2f} %"
        )
    return shares[worst]
