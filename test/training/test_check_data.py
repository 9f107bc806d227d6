"""``anymodal-train check-data``: what it measures for a recipe, and what it says to a newcomer."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.cli import main as command
from anymodal_seg_training.datasets.plane_statistics import (
    Measure,
    PlaneSums,
    guessed_spec,
    yaml_line,
)
from anymodal_seg_training.errors import UnknownLabelError
from anymodal_seg_training.recipe import parse_recipe

HEIGHT, WIDTH = 32, 64  # of the tiny recipe's input, so that nothing is resized
RNG = np.random.default_rng(11)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Four frames of colour, counts and depth with labels 0 and 1, and how they lie."""
    content = {
        "name": "mine",
        "frames": "{split}/rgb/{name}.png",
        "splits": {"train": "a", "validation": "b"},
        "images": {
            "rgb": {"path": "{split}/rgb/{name}.png"},
            "thermal": {"path": "{split}/thermal/{name}.png", "read": "counts"},
            "depth": {"path": "{split}/depth/{name}.png", "read": "depth"},
        },
        "label": {"path": "{split}/label/{name}.png"},
        "classes": [["road", 128, 64, 128], ["hole", 255, 0, 0]],
    }
    for split in ("a", "b"):
        for number in range(2):
            for name, high, dtype, shape in (
                ("rgb", 256, np.uint8, (HEIGHT, WIDTH, 3)),
                ("thermal", 60_000, np.uint16, (HEIGHT, WIDTH)),
                ("depth", 60_000, np.uint16, (HEIGHT, WIDTH)),
                ("label", 2, np.uint8, (HEIGHT, WIDTH)),
            ):
                path = tmp_path / "data" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), RNG.integers(0, high, shape).astype(dtype))
    path = tmp_path / "layout.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def check(*arguments: object) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(command, ["check-data", *map(str, arguments)])


def printed_modalities(result: Result) -> dict[str, Any]:
    """The YAML at the end of the output."""
    text = result.output[result.output.index("modalities:\n") :]
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return dict(found["modalities"])


def recipe_file(layout: Path, **modalities: dict[str, Any]) -> Path:
    content = tiny_recipe().plain()
    content["data"] = {
        "dataset": "folders",
        "layout": str(layout),
        "root": str(layout.parent / "data"),
    }
    content["modalities"] = modalities
    path = layout.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_recipe_gets_the_mean_and_spread_of_its_training_frames(layout: Path) -> None:
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    depth = {"id": 1, "planes": "depth", "far_m": 30.0, **half}
    recipe = recipe_file(layout, rgb={"id": 0, "planes": "color", **half}, depth=depth)
    result = check(recipe)
    assert result.exit_code == 0, result.output
    found = printed_modalities(result)
    assert set(found) == {"rgb", "depth"} and found["depth"]["far_m"] == 30.0
    stack = np.stack([cv2.imread(str(layout.parent / f"data/a/rgb/{n}.png")) for n in range(2)])
    colors = stack[..., ::-1].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(found["rgb"]["mean"], colors.mean(0), atol=1e-3)
    np.testing.assert_allclose(found["rgb"]["std"], colors.std(0), atol=1e-3)
    content = yaml.safe_load(recipe.read_text())
    pasted = parse_recipe({**content, "modalities": found})
    assert pasted.modalities["depth"].id == 1


def test_images_that_a_recipe_does_not_use_need_not_be_there(layout: Path) -> None:
    """Nor those that one set of a mixture lacks: frames without a sensor are a set of their own."""
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    color, counts = {"id": 0, "planes": "color", **half}, {"id": 1, "planes": "thermal", **half}
    for split in ("a", "b"):
        (layout.parent / f"data/{split}/thermal/1.png").unlink()
    assert check(layout, layout.parent / "data").exit_code == 1
    assert check(recipe_file(layout, rgb=color)).exit_code == 0
    recipe = recipe_file(layout, rgb=color, thermal=counts)
    assert "thermal/1.png is missing" in check(recipe).output
    content, text = yaml.safe_load(recipe.read_text()), layout.read_text()
    sets = {}
    for number, names in ((0, ["rgb", "thermal"]), (1, ["rgb"])):
        own = layout.with_name(f"layout{number}.yaml")
        own.write_text(text.replace("{name}", str(number)))
        sets[f"set{number}"] = {
            "data": {**content["data"], "layout": str(own)},
            "modalities": names,
        }
    content["data"] = {"dataset": "mixed", "sets": sets}
    recipe.write_text(yaml.safe_dump(content))
    result = check(recipe)
    assert result.exit_code == 0, result.output


def test_a_layout_gets_modalities_that_fit_its_files(layout: Path) -> None:
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 0, result.output
    found = printed_modalities(result)
    assert {name: (e["id"], e["planes"]) for name, e in found.items()} == {
        "rgb": (0, "color"),
        "thermal": (1, "thermal"),
        "depth": (2, "depth"),
    }
    assert found["thermal"]["thermal_mode"] == "percentile"
    parse_recipe({**tiny_recipe().plain(), "modalities": found})


def test_names_are_shown_as_they_are_and_control_no_terminal(layout: Path) -> None:
    content = yaml.safe_load(layout.read_text())
    content["classes"] = [["[void]", 1, 1, 1], [":car: [/i]", 2, 2, 2]]
    content["title"] = "[/b] mine \x1b[31m"
    layout.write_text(yaml.safe_dump(content))
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 0, result.output
    assert all(name in result.output for name in ("[/b] mine ?[31m", "[void]", ":car: [/i]"))
    content["classes"][0][0] = "void\x1b[31m"
    layout.write_text(yaml.safe_dump(content))
    assert "cannot be the name of a class" in check(layout, layout.parent / "data").output


def test_a_plane_that_is_the_same_everywhere_can_be_divided_by() -> None:
    flat = Image(np.full((4, 4), 2.0, np.float32), "32FC1")
    sums = PlaneSums(guessed_spec(flat, 0))
    sums.add(Measure(4, 4).frame({"depth": flat})["depth"])
    spec = sums.measured()
    assert spec.std == (1.0, 1.0, 1.0) and spec.mean[2] == 1.0


@pytest.mark.parametrize("mode", ["kelvin_range", "percentile", "raw"])
def test_a_line_says_everything_that_the_planes_depend_on(mode: str) -> None:
    spec = ModalitySpec(
        3, "thermal", (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), thermal_mode=mode, kelvin_range=(1.0, 2.0)
    )
    (entry,) = yaml.safe_load(yaml_line("thermal", spec)).values()
    assert entry["thermal_mode"] == mode and ("kelvin_range" in entry) == (mode == "kelvin_range")


def test_a_split_in_which_nothing_is_labelled_cannot_be_used(layout: Path) -> None:
    content = yaml.safe_load(layout.read_text())
    content["label"]["ignore"] = [0, 1]
    layout.write_text(yaml.safe_dump(content))
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 1
    for split in ("train", "validation"):
        assert f"{split}: no pixel of all frames has a label" in result.output
    content["label"]["ignore"] = [0]  # a few labels are enough
    layout.write_text(yaml.safe_dump(content))
    assert check(layout, layout.parent / "data").exit_code == 0


def test_all_labels_that_are_no_class_are_named_at_once(layout: Path) -> None:
    for number, values in enumerate(([0, 7, 9], [1, 9, 12])):
        path = layout.parent / f"data/a/label/{number}.png"
        cv2.imwrite(str(path), np.resize(np.array(values, np.uint8), (HEIGHT, WIDTH)))
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 1
    assert "2 labels, such as" in result.output
    assert "label ids that are no class: 9 (in 2), 7 (in 1), 12 (in 1). Give" in result.output


def test_a_modality_that_the_data_lacks_is_named_once(layout: Path) -> None:
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    result = check(recipe_file(layout, event={"id": 0, "planes": "color", **half}))
    assert result.exit_code == 1
    assert "modalities has event, but frames have rgb, thermal, depth only" in result.output
    assert "(2 times)" in result.output


def test_a_layout_without_its_folder_is_told_from_a_recipe(layout: Path) -> None:
    result = check(layout)
    assert result.exit_code == 1
    assert f"ROOT is missing: expected the folder that {layout} describes" in result.output


def test_an_unknown_label_comes_whole_out_of_a_worker_process() -> None:
    error = UnknownLabelError("a.png", "label ids", ["3", "9"], "mend it")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.values == ("3", "9")


def copy_nearly(path: Path, to: Path) -> None:
    """Write a picture anew at half its size, and darker."""
    half = cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(to), cv2.convertScaleAbs(half, alpha=0.8))


def test_a_frame_that_is_learned_from_cannot_be_a_measure(layout: Path) -> None:
    data = layout.parent / "data"
    (data / "b/rgb/1.png").write_bytes((data / "a/rgb/0.png").read_bytes())
    result = check(layout, data)
    assert result.exit_code == 1
    assert "validation: 1 of its 2 frames are in train, too:" in result.output
    assert f"1 of {data}/b/rgb, such as 1.png: in {data}/a/rgb, 0.png" in result.output


def test_one_recording_for_two_splits_is_named(layout: Path) -> None:
    content = yaml.safe_load(layout.read_text())
    content["splits"] = {"train": "a", "validation": "a", "test": "b"}
    layout.write_text(yaml.safe_dump(content))
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 1
    assert "validation: 2 of its 2 frames are in train, too:" in result.output
    assert "test: 2 of" not in result.output


def test_a_near_copy_is_named_but_may_be_meant(layout: Path) -> None:
    data = layout.parent / "data"
    copy_nearly(data / "a/rgb/0.png", data / "b/rgb/0.png")
    result = check(layout, data)
    assert result.exit_code == 0, result.output
    assert "validation: 1 of its 2 frames look nearly like frames of train, too:" in result.output
    assert "leave a gap between the splits" in result.output


def test_test_frames_that_chose_the_weights_are_told_and_allowed(layout: Path) -> None:
    content = yaml.safe_load(layout.read_text())
    content["splits"] = {"train": "a", "validation": "b", "test": "b"}
    layout.write_text(yaml.safe_dump(content))
    result = check(layout, layout.parent / "data")
    assert result.exit_code == 0, result.output
    assert "test: 2 of its 2 frames are in validation, too:" in result.output


def test_two_pictures_of_nothing_are_not_one_frame(layout: Path) -> None:
    data = layout.parent / "data"
    for split in ("a", "b"):  # the camera is dead; what the others saw differs
        cv2.imwrite(str(data / split / "rgb/0.png"), np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    result = check(layout, data)
    assert result.exit_code == 0, result.output
    assert "of its 2 frames" not in result.output
