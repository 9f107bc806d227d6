"""An imported model runs from what live sensors send, not only from pictures of its data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from training.test_published_weights import published, random_network

from anymodal_seg_ros.cli.main import main as seg
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_training.cli import main as train


def sensor(name: str, camera_info: str = "") -> dict[str, object]:
    registration = {"registration": {"camera_info": camera_info}} if camera_info else {}
    return {"topic": f"/{name}/image", "modality": name, "expected_hz": 10.0, **registration}


@pytest.mark.slow
@pytest.mark.export
def test_a_model_of_deliver_takes_depth_for_its_hha(tmp_path: Path) -> None:
    network = random_network(("rgb", "depth"), 25, network="anyseg")
    torch.save(published(network), tmp_path / "best.pth")
    made = tmp_path / "deliver"
    arguments = [str(tmp_path / "best.pth"), str(made), "--as", "anyseg", "--classes", "deliver"]
    arguments += ["--modalities", "rgb,depth", "--height", "64", "--width", "96"]
    result = CliRunner().invoke(train, ["import", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert load_model(str(made)).manifest.modalities["depth"].planes == "hha"
    assert "made from live depth" in " ".join((made / "MODEL_CARD.md").read_text().split())

    bag = tmp_path / "bag"
    simulated = ["simulate", "bag", str(bag), "--seconds", "0.5", "--no-labels"]
    result = CliRunner().invoke(seg, simulated, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rig = {"sensors": {"rgb": sensor("rgb"), "depth": sensor("depth", "/depth/camera_info")}}
    parameters = {"/**": {"ros__parameters": {"model": str(made), "rig": rig}}}
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(parameters))
    out = tmp_path / "out"
    asked = ["run", str(bag), "--params-file", str(tmp_path / "rig.yaml"), "--out", str(out)]
    result = CliRunner().invoke(seg, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "predictions.jsonl").open()]
    assert set(lines[-1]["sensors"]) == {"rgb", "depth"}
