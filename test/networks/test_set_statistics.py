"""Every set of sensors is normalised by its own statistics."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks.segformer_head import SegFormerHead
from anymodal_seg_ros.networks.set_statistics import MAX_KINDS, SetStatistics, set_of

CHANNELS = (8, 16, 24, 32)
SETS = [torch.tensor(s) for n in (1, 2, 3) for s in itertools.combinations(range(3), n)]


def pyramid(spread: float = 1.0) -> list[Tensor]:
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
    return [spread * torch.randn(4, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]


def trained_head() -> SegFormerHead:
    """A head that has seen all sets but that of the sensors 1 and 2, each with its own spread."""
    torch.manual_seed(3)
    head = SegFormerHead(CHANNELS, width=20, num_classes=5, dropout=0.0, kinds=3)
    nn.init.normal_(head.norm.weight)
    nn.init.normal_(head.norm.bias)
    for number, ids in enumerate(SETS):
        if ids.tolist() != [1, 2]:
            head(pyramid(1.0 + number), ids)
    return head.eval()


def test_a_set_is_a_bit_pattern_whatever_the_order_and_the_number() -> None:
    assert set_of(torch.tensor([2, 0]), 4).tolist() == [0b101]
    assert set_of(torch.tensor([0, 2]), 4).tolist() == [0b101]
    assert set_of(torch.tensor([0, 2, 0]), 4).tolist() == [0b101]
    assert len({int(set_of(ids, 3)) for ids in SETS}) == len(SETS)


def test_training_notes_the_statistics_of_the_set_that_was_there() -> None:
    torch.manual_seed(0)
    norm, sets = nn.BatchNorm2d(3), SetStatistics(2, 3)
    first, second = torch.randn(4, 3, 5, 6) + 4.0, 3.0 * torch.randn(4, 3, 5, 6)
    sets(norm, first, torch.tensor([0]))
    sets(norm, second, torch.tensor([1, 0]))
    assert sets.batches.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(sets.mean[1], first.mean((0, 2, 3)))
    torch.testing.assert_close(sets.variance[3], second.transpose(0, 1).flatten(1).var(dim=1))
    assert torch.equal(sets.mean[2], torch.zeros(3))


def test_training_is_that_of_a_batch_norm() -> None:
    """Result, gradients and the statistics of all sets together are what torch's own has."""
    torch.manual_seed(0)
    ours, own = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    sets = SetStatistics(2, 3)
    for ids in ([0], [1], [0, 1], [0]):
        x = torch.randn(4, 3, 5, 6) * len(ids) + ids[0]
        with_sets, without = (x.clone().requires_grad_() for _ in range(2))
        result, expected = sets(ours, with_sets, torch.tensor(ids)), own(without)
        torch.testing.assert_close(result, expected)
        result.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        torch.testing.assert_close(with_sets.grad, without.grad)
    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)


def test_the_first_batches_of_a_set_count_evenly() -> None:
    """A set that is drawn three times has the mean of three batches, not mostly zeros."""
    torch.manual_seed(0)
    norm, sets = nn.BatchNorm2d(2), SetStatistics(1, 2)
    batches = [torch.randn(2, 2, 4, 4) + 5.0 for _ in range(3)]
    for x in batches:
        sets(norm, x, torch.tensor([0]))
    expected = torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(dim=0)
    torch.testing.assert_close(sets.mean[1], expected)
    assert norm.running_mean is not None and (norm.running_mean < 2.0).all()


def test_evaluation_uses_the_row_of_the_set() -> None:
    torch.manual_seed(0)
    head, x = trained_head(), pyramid()
    for ids in SETS:
        expected = SegFormerHead(CHANNELS, width=20, num_classes=5, dropout=0.0).eval()
        own = {k: v for k, v in head.state_dict().items() if not k.startswith("sets.")}
        expected.load_state_dict(own)
        assert head.sets is not None
        row = int(set_of(ids, 3))
        if head.sets.batches[row]:  # else those of all sets together
            expected.norm.running_mean.copy_(head.sets.mean[row])
            expected.norm.running_var.copy_(head.sets.variance[row])
        with torch.inference_mode():
            torch.testing.assert_close(head(x, ids), expected(x))


def test_folding_keeps_a_scale_and_an_offset_for_each_set() -> None:
    torch.manual_seed(0)
    head, x = trained_head(), pyramid()
    folded = head.folded()
    with torch.inference_mode():
        for ids in SETS:
            torch.testing.assert_close(folded(x, ids), head(x, ids), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(folded(x, SETS[0]), folded(x, SETS[1]), atol=0.1)


def test_without_statistics_of_sets_the_folded_head_is_one_of_constants() -> None:
    head = SegFormerHead(CHANNELS, width=20, num_classes=5, kinds=3).eval()
    folded = head.folded()
    assert folded.kinds == 0 and folded.projections[0].bias is not None


def test_weights_from_before_there_were_sets_normalise_all_by_the_same() -> None:
    head = trained_head()
    old = {k: v.clone() for k, v in head.state_dict().items() if not k.startswith("sets.")}
    head.load_state_dict(old)
    assert head.sets is not None and not head.sets.any_seen
    x = pyramid()
    with torch.inference_mode():
        assert all(torch.equal(head(x, ids), head(x)) for ids in SETS)


def test_other_kinds_take_the_statistics_of_those_they_are_like() -> None:
    sets = SetStatistics(2, 1)
    for row in range(1, 4):
        sets.mean[row], sets.batches[row] = float(row), row
    sets.replace_modalities([1, 0, 1])  # the new kinds 0 and 2 are like the old 1
    assert sets.mean[:, 0].tolist() == [0.0, 2.0, 1.0, 3.0, 2.0, 2.0, 3.0, 3.0]
    assert sets.batches.tolist() == [0, 2, 1, 3, 2, 2, 3, 3]


def test_many_kinds_share_their_statistics() -> None:
    head = SegFormerHead(CHANNELS, width=20, num_classes=5, kinds=MAX_KINDS + 1)
    assert head.sets is not None
    head(pyramid(), torch.tensor([0, MAX_KINDS]))
    assert head.sets.mean.numel() == 0 and not head.sets.any_seen
    head.sets.replace_modalities([0, 1])
    head.eval()(pyramid(), torch.tensor([0, 1]))
    assert len(head.sets.batches) == 4 and not head.sets.any_seen


def test_one_onnx_graph_picks_the_row_by_the_ids(tmp_path: Path) -> None:
    """Those of a set that was never there, too; that whole networks do is shown where all are."""
    head, path = trained_head(), tmp_path / "head.onnx"
    maps, ids = [stage[:1] for stage in pyramid()], torch.tensor([0, 1])
    rows = {0: torch.export.Dim("modalities", min=1, max=16)}
    torch.onnx.export(
        head.folded(), (maps, ids), str(path), dynamo=True, opset_version=20,
        input_names=[*"abcd", "ids"], output_names=["logits"],
        dynamic_shapes=([{}] * 4, rows), verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {name: stage.numpy() for name, stage in zip("abcd", maps, strict=True)}
    seen = []
    for ids in (*SETS, torch.tensor([1, 0]), torch.tensor([2, 0, 1])):
        (logits,) = session.run(["logits"], {**inputs, "ids": ids.numpy()})
        with torch.inference_mode():
            expected = head(maps, ids).numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        seen.append(logits)
    first = [logits.round(3).tobytes() for logits in seen[: len(SETS)]]
    assert len(set(first)) == len(SETS), "each set has statistics of its own"
