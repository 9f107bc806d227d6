"""Paths with named fields find the frames of a data set and the other files of each frame."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.datasets.templates import fields_of, fill, find, match

DELIVER = "img/{weather}/{split}/{scene}/{frame}_rgb_front.png"
words = st.text("abcXYZ019_-. +[]()*", min_size=1, max_size=8)


@given(words, words, words)
def test_what_a_template_makes_it_takes_apart_again(weather: str, scene: str, frame: str) -> None:
    fields = {"weather": weather, "split": "val", "scene": scene, "frame": frame}
    path = fill(DELIVER, fields, "frames")
    assert match(DELIVER, path, {"split": "val"}) == fields
    assert match(DELIVER, path, {"split": "train"}) is None


def test_a_field_does_not_reach_over_a_folder_and_is_the_same_everywhere() -> None:
    assert match("{a}/x.png", "one/two/x.png", {}) is None
    assert match("{a}/{a}.png", "one/one.png", {}) == {"a": "one"}
    assert match("{a}/{a}.png", "one/two.png", {}) is None


def test_frames_are_found_in_order_and_a_root_with_img_in_it_does_no_harm(tmp_path: Path) -> None:
    root = tmp_path / "img" / "[set]"
    for scene, frame in (("b", "2"), ("a", "1"), ("b", "1")):
        path = root / fill(
            DELIVER, {"weather": "fog", "split": "train", "scene": scene, "frame": frame}, ""
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list(find(root, DELIVER, {"split": "train"}))
    assert [(f["scene"], f["frame"]) for f in found] == [("a", "1"), ("b", "1"), ("b", "2")]
    assert not list(find(root, DELIVER, {"split": "val"}))


@pytest.mark.parametrize("template", ["{", "{}/x", "{a:3}", "{a!r}", "{0}"])
def test_a_template_that_is_none_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="images"):
        fields_of(template, "images.rgb.path")


@pytest.mark.parametrize("template", ["/data/{name}.png", "rgb/***/{name}.png"])
def test_a_path_by_which_nothing_can_be_looked_for_is_named(template: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"frames is {template!r}: expected a path")):
        list(find(tmp_path, template, {}))


def test_a_field_that_nothing_fills_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nothing fills \{scene\}; known fields are frame"):
        fill("{scene}/{frame}.png", {"frame": "1"}, "label.path")


def test_what_macos_leaves_beside_files_is_no_frame(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png"):
        (tmp_path / name).touch()
    assert list(find(tmp_path, "{name}.png", {})) == [{"name": "a"}]
