from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.manifests import small_manifest

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest, load_manifest
from anymodal_seg_ros.inference.model import load_model, sha256


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = replace(
        small_manifest(),
        files={"onnx": FileSpec("model.onnx", "ab" * 32)},
        metrics={"miou": {"rgb": 0.5}},
    )
    dump_manifest(manifest, tmp_path)
    assert load_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["format"], 9, "format is 9: this version reads format 1"),
        (["input", "height"], 0, "input.height is 0"),
        (["classes"], [], "classes has 0 entries"),
        (["classes", 0, "color"], [1, 2], r"classes.color is \[1, 2\]: expected 3 numbers"),
        (["modalities", "rgb", "planes"], "x", "modalities.rgb.planes is 'x'"),
        (["modalities", "rgb", "std"], [1, 0, 1], "expected positive numbers"),
        (["modalities", "rgb", "id"], 3, "expected 0, 1, 2"),
        (["modalities", "rgb", "colour"], 3, "modalities.rgb.colour is unknown"),
        (["modalities", "thermal", "kelvin_range"], [300, 200], "expected low < high"),
        (["modalities", "thermal", "thermal_mode"], "agc", "expected one of kelvin_range, perc"),
        (["modalities", "thermal", "percentiles"], [99, 1], "expected low < high, from 0 to 100"),
        (["modalities", "lidar", "height_range_m"], [5, -3], "expected low < high"),
        (["modalities", "lidar", "intensity_max"], 0, "intensity_max must be positive"),
        (["name"], None, "'name' is missing"),
        (["outputs"], ["confidence"], r"outputs is \['confidence'\]: expected mask and others of"),
        (["outputs"], ["mask", "depth"], "outputs is .*expected mask"),
    ],
)
def test_impossible_manifests_are_refused(
    tmp_path: Path, path: list[Any], value: Any, says: str
) -> None:
    dump_manifest(small_manifest(), tmp_path)
    content = yaml.safe_load((tmp_path / "model.yaml").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match=says):
        load_manifest(tmp_path)


def test_a_manifest_written_before_an_option_means_its_default(tmp_path: Path) -> None:
    dump_manifest(small_manifest(), tmp_path)
    content = yaml.safe_load((tmp_path / "model.yaml").read_text())
    for modality in content["modalities"].values():
        del modality["thermal_mode"], modality["percentiles"], modality["height_range_m"]
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    assert load_manifest(tmp_path) == small_manifest()


def test_an_altered_or_missing_file_is_refused(tmp_path: Path) -> None:
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(b"weights")
    manifest = replace(small_manifest(), files={"onnx": FileSpec("model.onnx", sha256(onnx))})
    dump_manifest(manifest, tmp_path)
    assert load_model(str(tmp_path)).file("onnx") == onnx
    onnx.write_bytes(b"weightz")
    with pytest.raises(ModelError, match=r"has sha256 .* the file was altered"):
        load_model(str(tmp_path))
    onnx.unlink()
    with pytest.raises(ModelError, match="cannot read"):
        load_model(str(tmp_path))


def test_an_unknown_model_is_named_beside_the_bundled_ones() -> None:
    with pytest.raises(ModelError, match=r"model is 'no-such'.*neither a folder nor a bundled"):
        load_model("no-such")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model manifest"):
        load_model(str(tmp_path))
