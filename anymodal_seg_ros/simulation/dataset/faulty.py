"""A scene's failure, done to its images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.kinds import IMAGE_KINDS, ImageFault
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.dataset.plan import CASES, CLEAN, ScenePlan


def failure(plan: ScenePlan) -> ImageFault | None:
    """The fault that a scene's case stands for, None if it is clean."""
    if plan.case == CLEAN:
        return None
    _, kind = CASES[plan.case]
    return IMAGE_KINDS[kind](severity=plan.severity)


def with_failure(
    plan: ScenePlan, images: Mapping[str, Image], rng: np.random.Generator
) -> dict[str, Image]:
    """Return the images with the scene's failure; only the modality that it hits changes.

    Args:
        plan: of the scene.
        images: by modality.
        rng: of what the failure draws.
    """
    result = dict(images)
    fault = failure(plan)
    if fault is not None:
        modality, _ = CASES[plan.case]
        if modality in result:
            result[modality] = apply_image_fault(fault, result[modality], rng, modality)
    return result
