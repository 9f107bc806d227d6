from __future__ import annotations

import sys

import pytest
import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import build_network
from anymodal_seg_ros.networks.encoders import pyramid_encoder

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


def test_without_timm_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "anymodal_seg_ros.networks.timm_encoder", raising=False)
    with pytest.raises(ConfigError, match=r"timm cannot be imported .* anymodal_seg_ros\[train\]"):
        pyramid_encoder("timm:pvt_v2_b0")
