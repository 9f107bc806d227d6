"""How good a network is while it is trained: on each data set by its own classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anymodal_seg_ros.evaluation.metrics import Confusion, mean_iou
from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.data.sampling import spread_indices, subset_key
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed_frames import Share, shares_of
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluation.case_evaluation import case_confusions, mean_over_cases
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.member_view import seen_by
from anymodal_seg_training.fabric import over_processes
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.strategies.base import Strategy

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, slots=True)
class Validation:
    """What was measured.

    Attributes:
        score: mean of the mIoU over the subsets, then over the data sets, 0 to 1.
        values: mIoU of each subset; of several data sets by ``NAME/SUBSET``.
    """

    score: float
    values: Mapping[str, float]


def validate(
    network: AnyModalNetwork,
    frames: FrameSource,
    recipe: Recipe,
    strategy: Strategy,
    fabric: Fabric,
) -> Validation | None:
    """Measure a network on the subsets that a strategy is judged by.

    Args:
        network: to measure.
        frames: of the validation split, of one data set or of several.
        recipe: of the run; of every data set it takes the same number of frames.
        strategy: see :meth:`.Strategy.validation_subsets`.
        fabric: of this process, which measures its part of the frames.

    Returns:
        The same in every process; None where the strategy is judged by nothing.

    Raises:
        TrainingError: no pixel of the frames has a label, so that no weights could be the best.
    """
    scores, values = [], dict[str, float]()
    for share in shares_of(frames, recipe.modality_names):
        judged_by = {subset_key(s) for s in strategy.validation_subsets(share.modalities)}
        if not judged_by:
            return None
        confusions = _confusions(network, share, judged_by, recipe, fabric)
        if not any(matrix.any() for matrix in confusions.values()):
            raise TrainingError(
                f"no pixel of the validation frames{f' of {share.name}' if share.name else ''} has "
                f"a label (training.validation_frames is {recipe.training.validation_frames}, "
                f"of {len(share.source)}): which weights are the best cannot be told; label some, "
                "or look at label.ignore and label.renumber of the data set's layout"
            )
        scores.append(mean_over_cases(confusions))
        for key, matrix in confusions.items():
            values[f"{share.name}/{key}" if share.name else key] = mean_iou(matrix)
    return Validation(float(np.mean(scores)), values)


def _confusions(
    network: AnyModalNetwork, share: Share, judged_by: set[str], recipe: Recipe, fabric: Fabric
) -> dict[str, Confusion]:
    own, view = seen_by(share, recipe, network)
    chosen = spread_indices(recipe.training.validation_frames, len(share.source))
    return case_confusions(
        view,
        share.source,
        chosen[fabric.global_rank :: fabric.world_size],
        [case for case in combinations(share.modalities) if case.key in judged_by],
        own,
        fabric.device,
        gather=lambda counts: over_processes(fabric, counts, "sum"),
    )
