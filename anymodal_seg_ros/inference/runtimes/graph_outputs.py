"""What a model's graphs take and give, whichever engine runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.model import Model

Arrays = Mapping[str, npt.NDArray[Any]]
"""Inputs or outputs of a graph, by name."""


def wanted_outputs(model: Model, confidence: bool) -> tuple[str, ...]:
    """Return the outputs of a model's graphs that are worth their time.

    Raises:
        ConfigError: ``confidence`` is wanted, but the graphs have no such output.
    """
    names = model.manifest.outputs
    if confidence and "confidence" not in names:
        raise ConfigError(
            f"confidence is on, but the ONNX file of the model {model.manifest.name} has no such "
            "output: export the model anew, choose the torch engine, or turn it off"
        )
    # A mask at the network's size is of no use to whoever can make one at the camera's.
    unwanted = {"mask" if "logits" in names else "", "" if confidence else "confidence"}
    return tuple(name for name in names if name not in unwanted)
