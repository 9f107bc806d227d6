"""What a second look at half the size promises."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fixtures.zoo import HEIGHT, MODALITIES, WIDTH
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.half_size import averaged, halved
from anymodal_seg_ros.networks.mix_transformer import STRIDES


def quorum(backbone: str = "mit_nano", **options: object) -> AnyModalNetwork:
    torch.manual_seed(0)
    architecture = {"network": "quorum", "backbone": backbone, "head_width": 32, **options}
    return build_network(architecture, 5, MODALITIES).eval()


def test_a_pixel_of_the_half_is_the_mean_of_four() -> None:
    images = torch.randn(2, 3, 16, 24)
    torch.testing.assert_close(halved(images), F.avg_pool2d(images, 2))


def ramp(cells: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return, for cells that divide an image evenly, where in it their centres lie."""
    rows, columns = ((torch.arange(n) + 0.5) * of / n for n, of in zip(cells, size, strict=True))
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


@pytest.mark.parametrize("size", [(64, 96), (50, 75), (47, 33)])
def test_the_maps_of_both_sizes_lie_over_each_other(size: tuple[int, int]) -> None:
    rows, columns = size
    full = [ramp((-(-rows // s), -(-columns // s)), size) for s in STRIDES]
    half_rows, half_columns = halved(torch.zeros(1, 1, *size)).shape[2:]
    half = [ramp((-(-half_rows // s), -(-half_columns // s)), size) for s in STRIDES]
    made = averaged(full, half, torch.tensor([True]))
    assert all(mean is own for mean, own in zip(made[:2], full[:2], strict=True)), "fine maps"
    for mean, own, coarser in zip(made[2:], full[2:], half[2:], strict=True):
        assert mean.shape == own.shape
        # Where the centre of a cell lies among those of the half; beyond them the border repeats.
        low, high = coarser[0, :, 0, 0], coarser[0, :, -1, -1]
        inside = ((own[0] >= low[:, None, None]) & (own[0] <= high[:, None, None])).all(dim=0)
        torch.testing.assert_close(mean[0][:, inside], own[0][:, inside], rtol=0, atol=1e-3)


@pytest.mark.parametrize("backbone", ["mit_nano", "timm:resnet10t"])
@pytest.mark.parametrize("size", [(64, 96), (75, 98)])
def test_coarse_features_are_the_mean_of_two_looks(backbone: str, size: tuple[int, int]) -> None:
    options = {"stem": "shared", "norms": "shared"}
    both, one = quorum(backbone, half_size=MODALITIES, **options), quorum(backbone, **options)
    one.load_state_dict(both.state_dict())  # nothing is learned beside, so weights are exchanged
    images, ids = torch.randn(2, 4, 3, *size), torch.arange(4)
    with torch.inference_mode():
        features = both.forward_features(images, ids)
        full = one.forward_features(images, ids)
        half = one.forward_features(halved(images.flatten(0, 1)).unflatten(0, (2, 4)), ids)
        logits = both.decode(features, ids).logits
    assert logits.shape[2:] == full[0].shape[3:]
    for fine, own in zip(features[:2], full[:2], strict=True):
        torch.testing.assert_close(fine, own)
    for mean, own, coarser in zip(features[2:], full[2:], half[2:], strict=True):
        seen = 2 * mean - own
        wide = F.interpolate(coarser.flatten(0, 1), own.shape[3:], mode="bilinear")
        torch.testing.assert_close(seen.flatten(0, 1), wide, rtol=1e-3, atol=1e-4)


def test_the_half_is_seen_by_training_too() -> None:
    network = quorum(half_size=MODALITIES).train()
    images = torch.randn(2, 4, 3, HEIGHT, WIDTH, requires_grad=True)
    network(images, torch.arange(4)).square().mean().backward()
    assert images.grad is not None and images.grad.abs().min() > 0


def test_a_network_without_a_second_look_says_so() -> None:
    with pytest.raises(ConfigError, match="half_size"):
        build_network(
            {"network": "anyseg", "backbone": "mit_nano", "half_size": ["rgb"]}, 5, ("rgb",)
        )


def test_kinds_that_are_seen_once_stay_as_they_are() -> None:
    some, one = quorum(half_size=MODALITIES[:2]), quorum()
    one.load_state_dict(some.state_dict())
    images, ids = torch.randn(1, 3, 3, HEIGHT, WIDTH), torch.tensor([3, 1, 0])
    with torch.inference_mode():
        features = some.forward_features(images, ids)
        full = one.forward_features(images, ids)
    for seen, own in zip(features[2:], full[2:], strict=True):
        same = [torch.equal(seen[:, place], own[:, place]) for place in range(3)]
        assert same == [True, False, False]


def test_a_kind_that_is_added_or_taken_over_is_seen_as_often_as_the_old_one() -> None:
    network = quorum(half_size=["rgb"])
    network.add_modality("infrared", "rgb")
    network.replace_modalities({"night": "thermal", "infrared": "infrared", "lidar": "depth"})
    images = torch.randn(1, 3, 3, HEIGHT, WIDTH)
    one = quorum()
    one.replace_modalities({"night": "thermal", "infrared": "rgb", "lidar": "depth"})
    one.load_state_dict(network.state_dict())
    with torch.inference_mode():
        features = network.forward_features(images, torch.arange(3))
        full = one.forward_features(images, torch.arange(3))
    same = [torch.equal(features[3][:, place], full[3][:, place]) for place in range(3)]
    assert same == [True, False, True]


def test_a_kind_that_is_not_there_cannot_be_seen_twice() -> None:
    with pytest.raises(ConfigError, match=r"half_size.*'radar'.*rgb"):
        quorum(half_size=["radar"])
