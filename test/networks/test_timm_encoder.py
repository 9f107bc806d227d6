from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.encoders import pyramid_encoder
from anymodal_seg_ros.networks.mix_transformer import STRIDES
from anymodal_seg_ros.networks.modality_layers import ModalityAdapter

CHANNELS = {
    "timm:pvt_v2_b0": (32, 64, 160, 256),
    "timm:convnext_atto": (40, 80, 160, 320),
    "timm:swin_tiny_patch4_window7_224": (96, 192, 384, 768),
    "timm:resnet10t": (64, 128, 256, 512),
}


@pytest.fixture(autouse=True)
def _needs_timm(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("timm")


@pytest.mark.parametrize("backbone", CHANNELS)
def test_the_pyramid_is_that_of_the_mix_transformer(backbone: str) -> None:
    """The same strides, rounded up, at a size that fits and at an odd one."""
    encoder, reference = pyramid_encoder(backbone).eval(), pyramid_encoder("mit_nano").eval()
    assert encoder.channels == CHANNELS[backbone]
    for size in ((64, 96), (50, 75)):
        images = torch.randn(2, 3, *size)
        with torch.inference_mode():
            pyramid, expected = encoder(images), reference(images)
        assert [f.shape[2:] for f in pyramid] == [f.shape[2:] for f in expected]
        assert tuple(f.shape[1] for f in pyramid) == encoder.channels
        assert all(f.isfinite().all() for f in pyramid)


class Ramps(nn.Module):
    """Pyramids of two ramps, to the right and downwards, that go on in the padding."""

    def forward(self, images: Tensor) -> list[Tensor]:
        down, right = (torch.arange(float(n)) for n in images.shape[2:])
        ramps = torch.stack(torch.meshgrid(down, right, indexing="ij"))[None]
        return [F.avg_pool2d(ramps, stride) for stride in (2, *STRIDES)]


@pytest.mark.parametrize("size", [(240, 320), (232, 250), (96, 100)])
def test_every_map_lies_over_the_whole_image_whatever_its_size(size: tuple[int, int]) -> None:
    """As whoever scales a coarse map to a fine one, or a mask to the image, takes it to lie."""
    encoder = pyramid_encoder("timm:resnet10t")
    encoder.model = Ramps()
    for features in encoder(torch.zeros(1, 3, *size)):
        cells = features.shape[2:]
        down, right = (
            (torch.arange(n) + 0.5) * of / n - 0.5 for n, of in zip(cells, size, strict=True)
        )
        expected = torch.stack(torch.meshgrid(down, right, indexing="ij"))
        # The first cells repeat the border, as in every bilinear interpolation.
        torch.testing.assert_close(features[0, :, 1:, 1:], expected[:, 1:, 1:], rtol=0, atol=1e-3)


def test_rows_do_not_mix() -> None:
    encoder, images = pyramid_encoder("timm:pvt_v2_b0").eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for together, alone in zip(encoder(images), encoder(images[1:]), strict=True):
            torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_a_network_stands_on_it() -> None:
    architecture = {"network": "anyseg", "backbone": "timm:pvt_v2_b0", "head_width": 16}
    network = build_network(architecture, 5, ("rgb", "thermal")).train()
    logits = network(torch.randn(2, 2, 3, 64, 64), torch.arange(2))
    assert logits.shape == (2, 5, 16, 16)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("backbone", "complaint"),
    [
        ("timm:pvt_v9", r"'timm:pvt_v9': timm .* has no model 'pvt_v9'; it has pvt_v2_b0"),
        ("timm:deit_tiny_patch16_224", r"strides \[16.*expected \[4, 8, 16, 32\]"),
        ("mit_b9", r"'mit_b9': expected one of mit_nano, .*timm:NAME"),
    ],
)
def test_a_backbone_that_will_not_do_is_named(backbone: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        pyramid_encoder(backbone)


@pytest.mark.parametrize("tag", ["a1_in1", "a:b", "//x", "\x1b[31m", "[x", "*" * 3000])
def test_a_tag_that_is_none_is_told_in_a_line(tag: str) -> None:
    with pytest.raises(ConfigError, match="backbone is 'timm:resnet10t") as said:
        pyramid_encoder(f"timm:resnet10t.{tag}")
    assert len(str(said.value)) < 500 and str(said.value).isprintable()


def test_without_timm_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "anymodal_seg_ros.networks.timm_encoder", raising=False)
    with pytest.raises(ConfigError, match=r"timm cannot be imported .* anymodal_seg_ros\[train\]"):
        pyramid_encoder("timm:pvt_v2_b0")


LITE = "timm:tf_efficientnet_lite0"


def test_adapters_begin_as_nothing_and_then_tell_kinds_apart() -> None:
    """With adapters of zeros it is the plain pyramid; what one changes reaches the later maps."""
    plain = pyramid_encoder(LITE).eval()
    adapted = pyramid_encoder(LITE, adapters="per_modality", modalities=2).eval()
    from anymodal_seg_ros.networks.timm_encoder import TimmEncoder

    assert isinstance(plain, TimmEncoder) and isinstance(adapted, TimmEncoder)
    adapted.model.load_state_dict(plain.model.state_dict())
    images, ids = torch.randn(2, 3, 50, 75), torch.tensor([0, 1])
    with torch.inference_mode():
        for before, after in zip(plain(images), adapted(images, ids), strict=True):
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert adapted.adapters is not None
    first = adapted.adapters[0]
    assert isinstance(first, ModalityAdapter)
    with torch.no_grad():
        first.outward.rows[1].normal_()
    same = images[:1].expand(2, -1, -1, -1)
    with torch.inference_mode():
        for features in adapted(same, ids):
            assert not torch.allclose(features[0], features[1], rtol=1e-2)


def test_adapters_need_stages_that_can_be_called_one_by_one() -> None:
    with pytest.raises(ConfigError, match=r"timm:resnet10t' with adapters: .*EfficientNets"):
        pyramid_encoder("timm:resnet10t", adapters="per_modality", modalities=2)


@pytest.mark.parametrize("option", ["norms", "stem"])
def test_what_only_the_mix_transformer_has_is_refused(option: str) -> None:
    architecture = {"network": "quorum", "backbone": LITE, "norms": "shared", "stem": "shared"}
    with pytest.raises(ConfigError, match=rf"with {option}: per_modality.*set {option}: shared"):
        build_network({**architecture, option: "per_modality"}, 5, ("rgb", "thermal"))


def test_quorum_stands_on_it() -> None:
    architecture = {
        "network": "quorum",
        "backbone": LITE,
        "norms": "shared",
        "stem": "shared",
        "adapters": "per_modality",
        "head_width": 16,
    }
    network = build_network(architecture, 5, ("rgb", "thermal")).eval()
    images = torch.randn(1, 2, 3, 64, 96)
    with torch.inference_mode():
        both = network(images, torch.tensor([0, 1]))
        swapped = network(images.flip(1), torch.tensor([1, 0]))
    assert both.shape == (1, 5, 16, 24)
    torch.testing.assert_close(both, swapped, rtol=1e-3, atol=1e-4)
