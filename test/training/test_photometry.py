from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.data.photometry import LEAST_RANGE, other_camera
from anymodal_seg_training.recipe import AugmentationOptions

COLOR = ModalitySpec(0, "color", (0.4,) * 3, (0.2,) * 3)
THERMAL = ModalitySpec(1, "thermal", (0.4,) * 3, (0.1,) * 3, kelvin_range=(250.0, 330.0))
DEPTH = ModalitySpec(2, "depth", (0.0,) * 3, (1.0,) * 3)
EVENTS = ModalitySpec(3, "color", (0.1,) * 3, (0.2,) * 3, sparse=True)
ALWAYS = AugmentationOptions(camera=1.0, contrast=1.0, grain=0.2)
ALWAYS_STRETCHED = AugmentationOptions(contrast=1.0)
LABELS = torch.zeros((60, 80), dtype=torch.uint8)
"""Of one class: surfaces are not varied here."""


def picture(spec: ModalitySpec, low: float, high: float) -> torch.Tensor:
    """Planes of a slope from ``low`` to ``high``, as they are before normalisation."""
    slope = torch.linspace(low, high, 40 * 50).reshape(40, 50).expand(3, -1, -1)
    return (slope - spec.mean[0]) / spec.std[0]


def unnormalised(planes: torch.Tensor, spec: ModalitySpec) -> torch.Tensor:
    return planes * spec.std[0] + spec.mean[0]


@pytest.mark.parametrize("spec", [DEPTH, EVENTS])
def test_metres_and_events_are_left_as_they_are(spec: ModalitySpec) -> None:
    generator = np.random.default_rng(1)
    planes = picture(spec, 0.1, 0.9)
    assert other_camera(planes, LABELS, spec, ALWAYS, generator) is planes
    assert generator.random() == np.random.default_rng(1).random(), "they draw nothing"


@given(st.integers(0, 2**31 - 1), st.floats(0.05, 0.6), st.floats(0.02, 0.3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_thermal_image_gets_another_range_and_keeps_its_order(
    seed: int, low: float, width: float
) -> None:
    planes = picture(THERMAL, low, low + width)
    out = unnormalised(
        other_camera(planes, LABELS, THERMAL, ALWAYS_STRETCHED, np.random.default_rng(seed)),
        THERMAL,
    )
    assert out.min() > -1e-5 and out.max() < 1 + 1e-5
    assert float(out.max() - out.min()) > LEAST_RANGE - 1e-4
    assert (out[0].flatten().diff() >= -1e-6).all(), "what is warmer is not darker"
    assert torch.equal(out[0], out[1])


def test_thermal_images_become_as_dark_and_as_light_as_cameras_give_them() -> None:
    planes = picture(THERMAL, 0.35, 0.45)
    means = [
        float(
            unnormalised(
                other_camera(
                    planes, LABELS, THERMAL, ALWAYS_STRETCHED, np.random.default_rng(seed)
                ),
                THERMAL,
            ).mean()
        )
        for seed in range(200)
    ]
    assert min(means) < 0.12 and max(means) > 0.65


def test_a_thermal_image_of_one_temperature_stays_finite() -> None:
    flat = picture(THERMAL, 0.4, 0.4)
    out = other_camera(flat, LABELS, THERMAL, ALWAYS, np.random.default_rng(0))
    assert out.isfinite().all()


def test_colours_get_another_balance_and_response_within_the_range() -> None:
    options = AugmentationOptions(camera=1.0)
    planes, means = picture(COLOR, 0.0, 1.0), []
    for seed in range(20):
        out = unnormalised(
            other_camera(planes, LABELS, COLOR, options, np.random.default_rng(seed)), COLOR
        )
        assert out.min() >= -1e-5 and out.max() <= 1 + 1e-5
        means.append([float(plane.mean()) for plane in out])
    by_plane = np.array(means)
    assert by_plane.std(axis=0).min() > 0.05, "brightness varies"
    assert np.abs(by_plane[:, 0] - by_plane[:, 2]).max() > 0.05, "so does the balance"


def test_grain_has_at_most_its_strength_and_one_plane_in_thermal_images() -> None:
    options = AugmentationOptions(grain=0.2)
    for spec in (COLOR, THERMAL):
        flat = torch.zeros(3, 60, 80)
        strengths = [
            float(other_camera(flat, LABELS, spec, options, np.random.default_rng(seed)).std())
            for seed in range(20)
        ]
        assert 0.1 < max(strengths) < 0.21 and min(strengths) < 0.1
    out = other_camera(torch.zeros(3, 60, 80), LABELS, THERMAL, options, np.random.default_rng(3))
    assert torch.equal(out[0], out[2])
