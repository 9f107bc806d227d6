"""The rig keeps the contract of its images."""

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.cameras.rgb import RgbCamera
from anymodal_seg_ros.simulation.rig import Rig, aligned_sensors, random_frames
from anymodal_seg_ros.simulation.world.classes import CLASS_NAMES, CLASSES
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig


def test_images_have_the_encodings_of_the_contract():
    frame = Rig().capture(Scene(SceneConfig(1)), 1_000_000_000)
    expected = {
        "rgb": ("rgb8", np.uint8, (240, 320, 3)),
        "thermal": ("mono16", np.uint16, (240, 320)),
        "depth": ("32FC1", np.float32, (240, 320)),
        "events": ("8UC3", np.uint8, (240, 320, 3)),
    }
    assert list(frame.images) == list(expected)
    for name, (encoding, dtype, shape) in expected.items():
        image = frame.images[name]
        assert isinstance(image, Image)
        assert (image.encoding, image.pixels.dtype, image.pixels.shape) == (encoding, dtype, shape)
        assert image.pixels.flags.c_contiguous
        labels = frame.labels[name]
        assert labels.dtype == np.uint8 and labels.shape == (240, 320)
        assert labels.max() < len(CLASSES)


def test_the_default_sensors_are_pixel_aligned():
    labels = list(Rig().capture(Scene(SceneConfig(1)), 0).labels.values())
    assert all(np.array_equal(labels[0], other) for other in labels[1:])


def test_class_ids_are_those_of_the_contract():
    assert CLASS_NAMES == (
        "road",
        "road marking",
        "sidewalk",
        "terrain",
        "building",
        "wall",
        "vegetation",
        "pole",
        "traffic sign",
        "car",
        "truck",
        "person",
        "two-wheeler",
        "obstacle",
        "barrier",
        "sky",
    )


def test_a_subset_of_sensors_is_the_same_as_in_the_whole_rig():
    scene = Scene(SceneConfig(5))
    whole = Rig().capture(scene, 700_000_000)
    part = Rig().capture(scene, 700_000_000, ["events"])
    assert list(part.images) == ["events"]
    assert np.array_equal(part.images["events"].pixels, whole.images["events"].pixels)


def test_wrong_sensors_are_named():
    with pytest.raises(ConfigError, match="lidar"):
        Rig().capture(Scene(SceneConfig(0)), 0, ["lidar"])
    with pytest.raises(ConfigError, match="rgb"):
        Rig((RgbCamera(), RgbCamera()))


def test_random_frames_are_repeatable_and_differ():
    first = list(random_frames([1, 2], per_scene=2))
    again = list(random_frames([2], per_scene=2))
    assert [f.scene.seed for f in first] == [1, 1, 2, 2]
    assert len({f.time_ns for f in first}) == 4
    assert np.array_equal(first[3].images["rgb"].pixels, again[1].images["rgb"].pixels)
    assert not np.array_equal(first[0].labels["rgb"], first[1].labels["rgb"])


def test_no_sensor_repeats_itself_even_when_nothing_moves():
    """The watchdog takes equal frames for a frozen sensor."""
    scene = Scene(SceneConfig(3, "sun", 12.0, ego="standing", people_and_traffic=False))
    rig = Rig(aligned_sensors(lidar=True))
    first, second = (rig.capture(scene, t) for t in (1_000_000_000, 1_033_333_333))
    for name, image in first.images.items():
        assert not np.array_equal(image.pixels, second.images[name].pixels, equal_nan=True)


def test_depths_and_labels_are_those_of_each_sensor():
    frame = Rig().capture(Scene(SceneConfig(1)), 0)
    assert frame.depths.keys() == frame.labels.keys() == frame.images.keys()
    depth, labels = frame.depths["depth"], frame.labels["depth"]
    assert depth.dtype == np.float32
    assert np.array_equal(np.isinf(depth), labels == CLASS_NAMES.index("sky"))
    measured = frame.images["depth"].pixels
    assert np.nanmedian(np.abs(measured - depth) / depth) < 0.03
