from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_ros.networks.segformer_head import SegFormerHead

CHANNELS = (8, 16, 24, 32)


def published_form(head: SegFormerHead, pyramid: list[Tensor]) -> Tensor:
    """The head as the paper writes it: project, resize, concatenate, fuse, norm, classify."""
    size = pyramid[0].shape[-2:]
    maps = [
        F.interpolate(projection(x), size=size, mode="bilinear", align_corners=False)
        for projection, x in zip(head.projections, pyramid, strict=True)
    ]
    fused = head.norm(head.fuse(torch.cat([maps[3], maps[2], maps[1], maps[0]], dim=1)))
    return head.classify(head.dropout(F.relu(fused)))


def random_head(dropout: float = 0.0) -> SegFormerHead:
    torch.manual_seed(3)
    head = SegFormerHead(CHANNELS, width=20, num_classes=5, dropout=dropout)
    head.norm.running_mean.normal_()
    head.norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(head.norm.weight)
    torch.nn.init.normal_(head.norm.bias)
    return head


def random_pyramid(height: int, width: int) -> list[Tensor]:
    torch.manual_seed(4)
    sizes = [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32)]
    return [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]


@pytest.mark.parametrize("size", [(64, 96), (50, 75)])
@pytest.mark.parametrize("training", [False, True])
def test_composed_equals_published(size: tuple[int, int], training: bool) -> None:
    head = random_head().double().train(training)
    pyramid = [features.double() for features in random_pyramid(*size)]
    torch.testing.assert_close(head(pyramid), published_form(head, pyramid))


def test_composed_has_the_gradients_of_published() -> None:
    head, pyramid = random_head().double(), [x.double() for x in random_pyramid(64, 64)]
    target = torch.randn(2, 5, 16, 16, dtype=torch.float64)
    gradients = []
    for form in (head, lambda x: published_form(head, x)):
        head.zero_grad()
        (form(pyramid) - target).square().mean().backward()
        gradients.append([p.grad.clone() for p in head.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(head.parameters()))
    for composed, published in zip(*gradients, strict=True):
        torch.testing.assert_close(composed, published)


@pytest.mark.parametrize("size", [(64, 96), (50, 75)])
def test_folded_equals_published(size: tuple[int, int]) -> None:
    head, pyramid = random_head(dropout=0.1).eval(), random_pyramid(*size)
    with torch.inference_mode():
        folded, published = head.folded()(pyramid), published_form(head, pyramid)
    torch.testing.assert_close(folded, published, rtol=1e-4, atol=1e-5)
    assert folded.argmax(1).eq(published.argmax(1)).float().mean() > 0.9999


def test_folding_leaves_the_head_alone() -> None:
    head = random_head().eval()
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    folded = head.folded()
    assert all(torch.equal(before[name], tensor) for name, tensor in head.state_dict().items())
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in head.parameters())


# Planning numbers of the literature for 25 classes and the channels of MiT-B0 and B2, in millions.
@pytest.mark.parametrize(
    ("channels", "width", "millions"),
    [
        ((32, 64, 160, 256), 256, 0.40),
        ((32, 64, 160, 256), 768, 2.78),
        ((64, 128, 320, 512), 512, 1.59),
    ],
)
def test_parameter_counts(channels: tuple[int, ...], width: int, millions: float) -> None:
    head = SegFormerHead(channels, width, num_classes=25)
    count = sum(parameter.numel() for parameter in head.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)
