"""Do the files of a model folder belong together? Their hashes say only that they are unaltered.

A folder whose graphs were exported anew by halves, or put together from two, runs without an error
and gives masks of neither model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import Mask, Segmentation
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.verification.self_test import HALF, ROLE, agreement

ALIKE = 0.9
"""Smallest share of equal classes in masks of noise, which hang by a hair in half precision."""

WHOLE, HALVES = "whole", "in halves"
"""The ways from images to a mask."""

GRAPHS: Mapping[str, Sequence[str]] = {WHOLE: ("onnx",), HALVES: ("encode", "fuse")}
"""Roles of the graphs by the way in which they are executed."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well an engine gives the masks of its model's self-test.

    Where there is none, masks of noise are compared with those of the way that came first.

    Attributes:
        shares: smallest share of pixels with the right class, by way.
        sensors: with how many sensors that was, the first kinds by their ids, by way.
        first: masks of noise, by the number of sensors.
    """

    shares: dict[str, float] = field(default_factory=dict)
    sensors: dict[str, int] = field(default_factory=dict)
    first: dict[int, Mask] = field(default_factory=dict)

    def add(self, way: str, sensors: int, result: Segmentation, expected: Mask | None) -> None:
        """Take a result into account; one without logits has nothing to compare."""
        if result.logits is None:
            return
        if expected is None:
            mask = np.asarray(result.logits.argmax(axis=0), np.uint8)
            expected = self.first.setdefault(sensors, mask)
        share = agreement(result, expected)
        if share < self.shares.get(way, 2.0):
            self.shares[way], self.sensors[way] = share, sensors


def demand_one_training(found: Agreement, model: Model, roles: Mapping[str, Sequence[str]]) -> None:
    """Refuse files that are of another training than the self-test, or each other, beside them.

    No engine computes so inexactly, not in half precision either, that it would be taken for that.

    Args:
        found: what came of them.
        model: whose files they are.
        roles: of the files, by the way in which they were executed.

    Raises:
        ModelError: it names the files that give other masks, and the mend.
    """
    tested = model.has(ROLE)
    needed = HALF if tested else ALIKE
    wrong = [way for way, share in found.shares.items() if share < needed]
    if not wrong:
        return
    worst = min(wrong, key=lambda way: found.shares[way])
    kinds = names_by_id(model.manifest.modalities)[: found.sensors[worst]]
    right = file_names(model, roles, set(found.shares) - set(wrong))
    against = " and ".join(filter(None, (model.file(ROLE).name if tested else "", right)))
    raise ModelError(
        f"the masks of {file_names(model, roles, wrong)} in {model.folder} are not those of "
        f"{against} beside it, as if it were of another training: with {'+'.join(kinds)} only "
        f"{100 * found.shares[worst]:.2f} % of the pixels have the right class; export the model "
        "again"
    )


def file_names(model: Model, roles: Mapping[str, Sequence[str]], ways: Collection[str]) -> str:
    """Name the files that are executed in some ways."""
    names = (model.manifest.files[role].path for way in roles if way in ways for role in roles[way])
    return ", ".join(dict.fromkeys(names))
