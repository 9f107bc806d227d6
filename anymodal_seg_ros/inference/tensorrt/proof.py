"""Plans are believed only where the model folder proves that they are right."""

from __future__ import annotations

from anymodal_seg_ros.errors import EngineError, ModelError
from anymodal_seg_ros.inference.auto.trial import tested
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.verification.self_test import ROLE


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


def proven(engine: Engine, model: Model) -> str:
    """Hold an engine to the self-test of its model, for every subset of the sensors.

    Returns:
        How it went, in words.

    Raises:
        EngineError: it is wrong, or there is nothing to go by.
    """
    check_provable(model)
    try:
        return tested(engine, model)
    except ModelError as error:
        raise EngineError(
            f"{engine.name} is wrong here: {error}; if verify-engine finds another engine right, "
            "its graphs in half precision may be of another training: export the model again"
        ) from error
