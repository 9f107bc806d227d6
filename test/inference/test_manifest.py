from __future__ import annotations

import os
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
        (["format"], 9, "format is 9: this version reads 1"),
        (["input", "height"], 0, "input.height is 0"),
        (["input", "depth"], 3, "input has .*expected height and width"),
        (["classes"], [], "classes has 0 entries"),
        (["classes"], None, "classes is missing"),
        (["classes", 0, "color"], [1, 2], r"classes\[0\].color is \[1, 2\]: expected 3 numbers"),
        (["classes", 0, "color"], [1, -2, 3], r"color\[1\] is -2: expected a value from 0 to 255"),
        (["classes", 0, "color"], [1, 2, 999999], "expected a value from 0 to 255"),
        (["classes", 1, "name"], "ground", "classes has 'ground' twice"),
        (["modalities", "rgb", "planes"], "x", "modalities.rgb.planes is 'x'"),
        (["modalities", "rgb", "std"], [1, 0, 1], r"std\[1\] is 0.0: expected a value from"),
        (["modalities", "rgb", "std"], [1, 1e-300, 1], r"std\[1\] is 1e-300: expected a value"),
        (["modalities", "rgb", "mean"], [0, float("nan"), 0], r"mean\[1\] is nan"),
        (["modalities", "rgb", "mean"], None, "modalities.rgb.mean is missing"),
        (["modalities", "rgb", "id"], 3, "expected 0, 1, 2"),
        (["modalities", "rgb", "id"], True, "expected int"),
        (["modalities", "rgb", "colour"], 3, "modalities.rgb.colour"),
        (["modalities", "a/b"], {}, "modalities"),
        (["modalities", "thermal", "kelvin_range"], [300, 200], "expected low < high"),
        (["modalities", "thermal", "thermal_mode"], "agc", "expected one of kelvin_range, perc"),
        (["modalities", "thermal", "percentiles"], [99, 1], "expected low < high"),
        (["modalities", "thermal", "percentiles"], [1, 101], "expected a value from 0.0 to 100"),
        (["modalities", "lidar", "height_range_m"], [5, -3], "expected low < high"),
        (["modalities", "lidar", "intensity_max"], 0, "intensity_max is 0"),
        (["modalities", "lidar", "intensity_max"], float("inf"), "intensity_max is inf"),
        (["modalities", "depth", "far_m"], float("nan"), "far_m is nan"),
        (["modalities", "depth", "far_m"], 10**400, "far_m|too large|cannot read"),
        (["modalities"], {}, "expected 0, 1, 2"),
        (["modalities"], 3, "modalities is 3"),
        (["files"], ["model.onnx"], "files is .*expected named entries"),
        (["files"], {"onnx": {"path": "model.onnx"}}, "files.onnx.sha256 is missing"),
        (["architecture"], [1, 2], "architecture is"),
        (["architecture"], None, "architecture is missing"),
        (["name"], None, "name is missing"),
        (["name"], "a\n[FATAL] b", "cannot be a name"),
        (["version"], "\x1b[31m1", "cannot be a name"),
        (["classes", 0, "name"], "\x1b[2J", "cannot be the name of a class"),
        (["colour_map"], 3, "colour_map"),
        (["outputs"], ["confidence"], r"outputs is \['confidence'\]: expected logits or mask"),
        (["outputs"], ["mask", "depth"], "expected one of mask, logits"),
        (["outputs"], ["mask", "mask"], "outputs has 'mask' twice"),
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
        del place[path[-1]]  # what is missing
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


def test_two_hashes_that_differ_are_shown_where_they_do(tmp_path: Path) -> None:
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(b"weights")
    altered = sha256(onnx)[:-1] + ("0" if sha256(onnx)[-1] != "0" else "1")
    dump_manifest(
        replace(small_manifest(), files={"onnx": FileSpec("model.onnx", altered)}), tmp_path
    )
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path))
    assert sha256(onnx) in str(caught.value)
    assert altered in str(caught.value)


def linked(tmp_path: Path, name: str) -> Path:
    """A model folder whose graph is ``name`` in the manifest; the real one lies outside."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (tmp_path / "outside.onnx").write_bytes(b"graph")
    spec = FileSpec(name, sha256(tmp_path / "outside.onnx"))
    dump_manifest(replace(small_manifest(), files={"onnx": spec}), folder)
    return folder


def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    for name in ("../outside.onnx", str(tmp_path / "outside.onnx"), "/etc/passwd"):
        with pytest.raises(ModelError, match="outside of the folder") as caught:
            load_model(str(linked(tmp_path, name)))
        assert "sha256" not in str(caught.value)
    folder = linked(tmp_path, "model.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(ModelError, match="outside of the folder"):
        load_model(str(folder))


def test_a_path_that_leads_nowhere_is_refused_in_words(tmp_path: Path) -> None:
    folder = linked(tmp_path, "one")
    (folder / "one").symlink_to("other")
    (folder / "other").symlink_to("one")
    with pytest.raises(ModelError, match=r"files.onnx.path .* leads nowhere|cannot read"):
        load_model(str(folder))
    with pytest.raises(ModelError, match=r"files.onnx.path .* leads nowhere"):
        load_model(str(linked(tmp_path, "a\0b")))


def test_a_folder_that_a_build_tool_linked_file_by_file_is_read(tmp_path: Path) -> None:
    """As ``colcon build --symlink-install`` leaves it."""
    source, installed = linked(tmp_path, "model.onnx"), tmp_path / "installed"
    (source / "model.onnx").write_bytes(b"graph")
    installed.mkdir()
    for path in source.iterdir():
        (installed / path.name).symlink_to(path)
    assert load_model(str(installed)).read("onnx") == b"graph"


@pytest.mark.timeout(120)
def test_a_pipe_or_device_is_no_file(tmp_path: Path) -> None:
    folder = linked(tmp_path, "model.onnx")
    os.mkfifo(folder / "model.onnx")
    with pytest.raises(ModelError, match="no regular file"):
        load_model(str(folder))


def test_what_is_read_is_what_was_hashed(tmp_path: Path) -> None:
    """A file that changes after the folder was opened is not believed."""
    folder = linked(tmp_path, "model.onnx")
    (folder / "model.onnx").write_bytes(b"graph")
    model = load_model(str(folder))
    assert model.read("onnx") == b"graph"
    (folder / "model.onnx").write_bytes(b"swapped")
    with pytest.raises(ModelError, match="was altered"):
        model.read("onnx")


def test_an_unknown_model_is_named_beside_the_bundled_ones() -> None:
    for name in ("no-such", "x" * 300, "/" + "x" * 5000, "~no-such-user/model", "a\0b", "\ud800"):
        with pytest.raises(ModelError, match=r"model is '.*neither a folder nor a bundled"):
            load_model(name)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model manifest"):
        load_model(str(tmp_path))
