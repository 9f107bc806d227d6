from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.cmnext import CMNeXt
from anymodal_seg_ros.networks.mix_transformer import count_parameters

MODALITIES = ("rgb", "depth", "event", "lidar")
CLASSES = 5


def cmnext(modalities: tuple[str, ...] = MODALITIES, **options: object) -> CMNeXt:
    torch.manual_seed(0)
    architecture = {"network": "cmnext", "backbone": "mit_nano", "head_width": 16, **options}
    network = build_network(architecture, CLASSES, modalities)
    assert isinstance(network, CMNeXt)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def pictures(rows: int = 4, batch: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, rows, 3, 64, 96)


# Millions of parameters of the published networks, 25 classes.
@pytest.mark.parametrize(
    ("modalities", "millions"),
    [
        (("rgb",), 25.785),
        (("rgb", "depth"), 58.694),
        (("rgb", "depth", "event"), 58.719),
        (("rgb", "depth", "event", "lidar"), 58.732),
    ],
)
def test_parameter_counts_are_the_published_ones(
    modalities: tuple[str, ...], millions: float
) -> None:
    with torch.device("meta"):
        network = build_network({"network": "cmnext"}, 25, modalities)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.0005)


@pytest.mark.parametrize(("backbone", "width"), [("mit_b0", 256), ("mit_b1", 256), ("mit_b4", 512)])
def test_the_head_is_as_wide_as_published(backbone: str, width: int) -> None:
    with torch.device("meta"):
        network = build_network({"network": "cmnext", "backbone": backbone}, 25, ("rgb", "depth"))
    assert isinstance(network, CMNeXt) and network.head.classify.in_channels == width


def literal_pyramid(network: CMNeXt, images: Tensor, scrambled: bool) -> list[Tensor]:
    """The published forward pass with all sensors, one auxiliary sensor after the other."""
    first, others = images[:, 0], [images[:, m] for m in range(1, images.shape[1])]
    pyramid = []
    for stage, auxiliary, rectify, fuse in zip(
        network.encoder.stages, network.auxiliary, network.rectify, network.fuse, strict=True
    ):
        first = stage(first)
        maps = []
        for kind, x in enumerate(others):
            ids = torch.full((x.shape[0],), kind)
            tokens, height, width = auxiliary.embedding(x, ids)
            if auxiliary.hub is not None:
                tokens = auxiliary.hub(tokens[:, None], torch.tensor([kind]), height, width)[:, 0]
            maps.append(tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous())
        selected = maps[0]
        for other in maps[1:]:
            selected = torch.maximum(selected, other)
        mixed = auxiliary.mixers(selected)
        second = auxiliary.norm(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        first, second = rectify(first, second)
        pyramid.append(fuse(first, second))
        if len(maps) == 1:
            others = [second]
            continue
        if scrambled:
            batch, channels, height, width = second.shape
            maps = [m.reshape(batch, height, width, channels).permute(0, 3, 1, 2) for m in maps]
        others = [m + second for m in maps]
    return pyramid


@pytest.mark.parametrize("add_back", ["aligned", "scrambled"])
@pytest.mark.parametrize("modalities", [MODALITIES, MODALITIES[:2]])
def test_all_sensors_give_the_published_forward_pass(
    add_back: str, modalities: tuple[str, ...]
) -> None:
    network, x = cmnext(modalities, add_back=add_back), pictures(len(modalities))
    with torch.inference_mode():
        features = network.forward_features(x, torch.arange(len(modalities)))
        expected = literal_pyramid(network, x, add_back == "scrambled")
    for stage, published in zip(features, expected, strict=True):
        assert stage.shape[1] == 1
        torch.testing.assert_close(stage[:, 0], published, rtol=1e-4, atol=1e-5)


def test_a_left_out_sensor_is_absent_from_the_hub() -> None:
    """Its place in the maximum cannot win, whatever its parameters are."""
    network, x, subset = cmnext(), pictures(), torch.tensor([0, 2])
    with torch.inference_mode():
        expected = network(x[:, subset], subset)
        for auxiliary in network.auxiliary:
            for kind in (0, 2):  # depth and lidar
                auxiliary.embedding.norm.bias.rows[kind].fill_(1e3)
        assert torch.equal(network(x[:, subset], subset), expected)


def test_zeros_for_missing_sensors_are_zeros_as_images() -> None:
    network, x, subset = cmnext(missing="zeros"), pictures(), torch.tensor([2, 0])
    filled = torch.zeros_like(x)
    filled[:, [0, 2]] = x[:, [0, 2]]
    with torch.inference_mode():
        expected = network(filled, torch.arange(4))
        torch.testing.assert_close(network(x[:, subset], subset), expected)
        assert not torch.allclose(cmnext()(x[:, subset], subset), expected, atol=1e-4)


def test_a_missing_primary_is_zeros() -> None:
    network, x, subset = cmnext(), pictures(), torch.tensor([1, 2, 3])
    filled = x.clone()
    filled[:, 0] = 0.0
    with torch.inference_mode():
        expected = network(filled, torch.arange(4))
        torch.testing.assert_close(network(x[:, subset], subset), expected)


def test_any_modality_can_be_the_primary() -> None:
    network, x, ids = cmnext(primary="event"), pictures(), torch.arange(4)
    order = ["event", "rgb", "depth", "lidar"]
    same = cmnext(tuple(order), primary="event")
    same.load_state_dict(network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(network(x, ids), same(x[:, [2, 0, 1, 3]], ids))


def test_an_unknown_primary_is_named() -> None:
    with pytest.raises(ConfigError, match=r"primary is 'radar': expected one of .*rgb, depth"):
        cmnext(primary="radar")


def test_the_primary_alone_as_the_only_modality_is_a_segformer() -> None:
    network, x = cmnext(("rgb",)), pictures(1)
    with torch.inference_mode():
        logits = network(x, torch.tensor([0]))
        expected = network.head(network.encoder(x[:, 0]))
    assert torch.equal(logits, expected)
    assert len(network.auxiliary) == 0
