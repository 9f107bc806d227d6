from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from anymodal_seg_ros.networks.ma_clip import MaClip, clip_tower, load_clip_weights
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.published import clip_weights
from anymodal_seg_training.published.clip_weights import read_clip_weights


@pytest.mark.parametrize("form", ["clip.safetensors", "clip.pt", "nested.pt"])
def test_a_file_fills_the_tower(form: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights, path = clip_tower("tiny-random").state_dict(), tmp_path / form
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if form == "nested.pt" else weights, path)
    encoder = MaClip("tiny-random", rank=1, alpha=1.0, modalities=1)
    load_clip_weights(encoder, read_clip_weights(str(path)))
    for name, tensor in encoder.tower.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_nothing_is_downloaded_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create_model(name: str, *, pretrained: bool) -> torch.nn.Module:
        asked.append((name, pretrained))
        return clip_tower("tiny-random")

    monkeypatch.setattr(clip_weights.timm, "create_model", create_model)
    with pytest.raises(TrainingError, match=r"no file vit_x.openai: give the weights of CLIP as"):
        read_clip_weights("vit_x.openai")
    assert asked == []
    assert "cls_token" in read_clip_weights("vit_x.openai", download=True)
    assert asked == [("vit_x.openai", True)]


def test_a_failed_download_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot download the weights 'no_such_tower.x'"):
        read_clip_weights("no_such_tower.x", download=True)
    for name in ("broken.pt", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(TrainingError, match=rf"cannot read the weights .*{name}"):
            read_clip_weights(str(tmp_path / name))
