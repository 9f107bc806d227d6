from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anymodal_seg_ros.networks.query_hub import (
    SelfQueryHub,
    has_company,
    strongest,
    strongest_of_the_others,
)

KINDS, CHANNELS = 5, 6


def hub() -> SelfQueryHub:
    torch.manual_seed(0)
    made = SelfQueryHub(CHANNELS, KINDS).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("ids", [[0], [3, 1], [4, 0, 2], [2, 2, 0, 1]])
def test_scores_are_those_of_a_depthwise_and_a_pointwise_convolution(ids: list[int]) -> None:
    made, height, width = hub(), 4, 7
    tokens = torch.randn(2, len(ids), height * width, CHANNELS, dtype=torch.float64)
    out = made(tokens, torch.tensor(ids), height, width)
    for row, kind in enumerate(ids):
        x = tokens[:, row].transpose(1, 2).unflatten(2, (height, width))
        kernel = made.depthwise.rows[kind].reshape(CHANNELS, 1, 3, 3)
        hidden = F.conv2d(x, kernel, made.depthwise_bias.rows[kind], padding=1, groups=CHANNELS)
        pointwise = made.pointwise.rows[kind].reshape(1, CHANNELS, 1, 1)
        score = F.conv2d(hidden, pointwise, made.pointwise_bias.rows[kind][None]).sigmoid()
        expected = (score * x + x).flatten(2).transpose(1, 2)
        torch.testing.assert_close(out[:, row], expected)


def test_a_fresh_hub_scores_one_half_and_learns_everything() -> None:
    torch.manual_seed(0)
    made = SelfQueryHub(64, 3)
    tokens = torch.randn(2, 3, 20, 64)
    out = made(tokens, torch.arange(3), 4, 5)
    assert ((out / tokens - 1.5).abs() < 0.25).float().mean() > 0.99
    out.square().sum().backward()
    for parameter in made.parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


@st.composite
def rows_and_presence(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Few different values, so that there are ties; some rows are not there."""
    rows, places = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    values = draw(
        st.lists(st.integers(-3, 3), min_size=rows * places * 2, max_size=rows * places * 2)
    )
    present = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    scored = torch.tensor(values, dtype=torch.float32).reshape(1, rows, places, 2)
    return scored, torch.tensor(present)


@settings(deadline=None)
@given(rows_and_presence())
def test_maxima_are_those_of_the_rows_that_are_there(case: tuple[Tensor, Tensor]) -> None:
    scored, present = case
    there = [m for m, is_there in enumerate(present.tolist()) if is_there]
    expected = scored[:, there].amax(dim=1) if there else torch.zeros_like(scored[:, 0])
    assert torch.equal(strongest(scored, present), expected)
    leave_one_out = strongest_of_the_others(scored, present)
    for row in range(len(present)):
        others = [m for m in there if m != row]
        assert has_company(present)[row] == bool(others)
        expected = scored[:, others].amax(dim=1) if others else torch.zeros_like(scored[:, 0])
        assert torch.equal(leave_one_out[:, row], expected)


def test_the_gradient_goes_to_the_strongest_other_row() -> None:
    scored = torch.tensor([3.0, 1.0, 2.0]).reshape(1, 3, 1, 1).requires_grad_()
    weights = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    (strongest_of_the_others(scored, torch.tensor([True] * 3)) * weights).sum().backward()
    # Row 0 is the best for the two others, row 2 the best for row 0.
    assert scored.grad is not None
    assert scored.grad.flatten().tolist() == [110.0, 0.0, 1.0]
