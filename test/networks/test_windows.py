from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anymodal_seg_ros.networks.windows import WindowCrossAttention, WindowGrid

sides = st.integers(1, 19)
windows = st.sampled_from([2, 3, 4, 8])


@given(sides, sides, windows, st.booleans())
@settings(deadline=None)
def test_joining_undoes_splitting(height: int, width: int, window: int, shifted: bool) -> None:
    grid = WindowGrid.of(height, width, window, shifted)
    maps = torch.arange(2 * height * width * 3.0).reshape(2, height, width, 3)
    cut = grid.split(maps)
    assert cut.shape == (2, grid.count, grid.rows * grid.columns, 3)
    assert torch.equal(grid.join(cut), maps)


@given(sides, sides, windows, st.booleans())
@settings(deadline=None)
def test_tokens_meet_if_they_are_neighbours_in_the_map(
    height: int, width: int, window: int, shifted: bool
) -> None:
    """Within a window: tokens of the map, that are not from opposite sides of it."""
    grid = WindowGrid.of(height, width, window, shifted)
    places = torch.arange(1, height * width + 1).reshape(1, height, width, 1)
    for tokens, forbidden in zip(grid.split(places)[0, :, :, 0], grid.forbidden(), strict=True):
        inside = tokens > 0
        y, x = (tokens - 1) // width, (tokens - 1) % width
        near = ((y[:, None] - y).abs() < grid.rows) & ((x[:, None] - x).abs() < grid.columns)
        met = ~torch.from_numpy(forbidden)
        assert met.diagonal().all(), "every token attends to something"
        assert not (met & (inside[:, None] != inside)).any()
        both = inside[:, None] & inside
        assert torch.equal(met & both, near & both)
    if grid.whole:
        assert not grid.forbidden().any()


def token_by_token(attention: WindowCrossAttention, asking: Tensor, asked: Tensor) -> Tensor:
    """The same attention from its definition, for each token by itself."""
    height, width = asking.shape[:2]
    grid = WindowGrid.of(height, width, attention.window, attention.shifted)
    query = attention.query(asking).unflatten(-1, (attention.heads, -1))
    key, value = attention.key_value(asked).unflatten(-1, (2, attention.heads, -1)).unbind(-3)
    # The window of a row: counted from the end of the first, shorter one.
    row_of = [-1 if y < grid.down else (y - grid.down) // grid.rows for y in range(height)]
    column_of = [-1 if x < grid.right else (x - grid.right) // grid.columns for x in range(width)]
    result = torch.empty_like(asking)
    span = 2 * attention.window - 1
    for y in range(height):
        for x in range(width):
            near = [
                (v, u)
                for v in range(height)
                for u in range(width)
                if row_of[v] == row_of[y] and column_of[u] == column_of[x]
            ]
            scores, values = [], []
            for sensor in range(asked.shape[0]):
                for v, u in near:
                    way = (y - v + attention.window - 1) * span + x - u + attention.window - 1
                    dot = (query[y, x] * key[sensor, v, u]).sum(-1)
                    scores.append(dot / query.shape[-1] ** 0.5 + attention.position[way])
                    values.append(value[sensor, v, u])
            weights = torch.stack(scores).softmax(dim=0)
            result[y, x] = (weights[:, :, None] * torch.stack(values)).sum(dim=0).flatten()
    return attention.out(result)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(4, 8), (5, 6), (3, 9), (2, 2)])
def test_attention_is_that_of_the_definition(size: tuple[int, int], shifted: bool) -> None:
    torch.manual_seed(0)
    attention = WindowCrossAttention(8, 2, 4, shifted).double()
    torch.nn.init.normal_(attention.position)
    asking = torch.randn(2, *size, 8, dtype=torch.float64)
    asked = torch.randn(2, 3, *size, 8, dtype=torch.float64)
    with torch.inference_mode():
        result = attention(asking, asked)
        for item in range(2):
            expected = token_by_token(attention, asking[item], asked[item])
            torch.testing.assert_close(result[item], expected)


@pytest.mark.parametrize("shifted", [False, True])
def test_among_sensors_each_asks_all_others_and_never_itself(shifted: bool) -> None:
    torch.manual_seed(0)
    attention = WindowCrossAttention(8, 2, 4, shifted).double()
    torch.nn.init.normal_(attention.position)
    maps = torch.randn(2, 3, 5, 6, 8, dtype=torch.float64)
    with torch.inference_mode():
        answers = attention.among(maps)
        for row in range(3):
            others = maps[:, [other for other in range(3) if other != row]]
            torch.testing.assert_close(answers[:, row], attention(maps[:, row], others))
        assert torch.equal(attention.among(maps[:, :1]), torch.zeros_like(maps[:, :1]))


def test_sensors_that_ask_each_other_are_one_graph_for_any_number(tmp_path: Path) -> None:
    class Among(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = WindowCrossAttention(8, 2, 4, shifted=True)

        def forward(self, maps: Tensor) -> Tensor:
            return self.attention.among(maps[None])[0]

    torch.manual_seed(0)
    module, path = Among().eval(), tmp_path / "among.onnx"
    rows = {0: torch.export.Dim("modalities", min=1, max=16)}
    torch.onnx.export(
        module, (torch.randn(3, 5, 6, 8),), str(path), dynamo=True, opset_version=20,
        input_names=["maps"], output_names=["answers"], dynamic_shapes=(rows,), verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 2, 4):
        maps = torch.randn(count, 5, 6, 8)
        (answers,) = session.run(None, {"maps": maps.numpy()})
        with torch.inference_mode():
            expected = module(maps).numpy()
        np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def test_a_window_larger_than_the_map_is_the_map() -> None:
    grid = WindowGrid.of(2, 3, 8, shifted=True)
    assert (grid.rows, grid.columns, grid.count, grid.whole) == (2, 3, 1, True)
