"""Sequences: rendered once, in any number of processes, and mapped from disk after that."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.simulation.cameras.rgb import RgbCamera
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.recorded import Sequence
from anymodal_seg_ros.simulation.rig import Rig
from anymodal_seg_ros.simulation.sequence import SequenceConfig, camera_of, render_sequence
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

SHORT = SequenceConfig(SceneConfig(2, "sun", ego="driving"), duration_s=0.5, rate_hz=30.0)


@pytest.mark.slow
def test_two_processes_render_what_one_renders_and_the_second_call_only_opens(tmp_path: Path):
    told: list[tuple[int, int]] = []
    sequence = render_sequence(SHORT, tmp_path, 2, lambda done, total: told.append((done, total)))
    assert len(sequence) == 15
    assert (told[0], told[-1]) == ((0, 15), (15, 15)) and [d for d, _ in told] == sorted(
        d for d, _ in told
    )
    assert [p.name for p in tmp_path.iterdir()] == [SHORT.key()]

    rig, scene = Rig(), Scene(SHORT.scene)
    for index in (0, 13):
        frame = rig.capture(scene, index * SHORT.period_ns)
        for name, image in frame.images.items():
            stored = sequence.image(name, index)
            assert stored.encoding == image.encoding
            assert stored.pixels.dtype == image.pixels.dtype
            np.testing.assert_array_equal(stored.pixels, image.pixels)
            np.testing.assert_array_equal(sequence.label(name, index), frame.labels[name])

    told.clear()
    written = (sequence.folder / "rgb.npy").stat().st_mtime_ns
    again = render_sequence(SHORT, tmp_path, 2, lambda done, total: told.append((done, total)))
    assert told == []
    assert (again.folder / "rgb.npy").stat().st_mtime_ns == written


def test_a_sequence_goes_on_from_its_beginning_and_cannot_be_written(tmp_path: Path):
    short = SequenceConfig(SHORT.scene, duration_s=0.1)
    sequence = render_sequence(short, tmp_path, 1)
    assert np.array_equal(sequence.image("rgb", 3).pixels, sequence.image("rgb", 0).pixels)
    assert len(list(sequence.folder.glob("labels_*.npy"))) == 1  # shared by aligned sensors
    assert sequence.cameras == {s.name: camera_of(s) for s in short.sensors}
    assert sequence.cameras["thermal"].matrix[0] == short.sensors[1].camera.intrinsics.fx
    with pytest.raises(ValueError, match="read-only"):
        sequence.images["rgb"][0] = 0


def test_the_key_follows_every_parameter():
    keys = {
        SHORT.key(),
        SequenceConfig(SceneConfig(3, "sun", ego="driving"), 0.5).key(),
        SequenceConfig(SceneConfig(2, "night", ego="driving"), 0.5).key(),
        SequenceConfig(SHORT.scene, 0.6).key(),
        SequenceConfig(SHORT.scene, 0.5, 15.0).key(),
        SequenceConfig(SHORT.scene, 0.5, 30.0, SHORT.sensors[:2]).key(),
    }
    assert len(keys) == 6
    assert SequenceConfig(SceneConfig(2, "sun", ego="driving"), 0.5).key() == SHORT.key()


def test_a_failed_rendering_leaves_nothing_behind(tmp_path: Path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_sequence(SequenceConfig(SHORT.scene, 0.1), tmp_path, 1, stop)
    assert list(tmp_path.iterdir()) == []


class DyingCamera(RgbCamera):
    """Draws in the first process only; any other is killed, as where memory runs out."""

    def capture(self, observer: Observer, time_ns: int) -> Image:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().capture(observer, time_ns)


def test_a_killed_worker_is_told_in_one_line_and_leaves_nothing_behind(tmp_path: Path):
    dying = SequenceConfig(SHORT.scene, 0.1, sensors=(DyingCamera(),))
    with pytest.raises(AnymodalError, match=r"a worker process died.*start again"):
        render_sequence(dying, tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_sequence_is_refused():
    with pytest.raises(ConfigError, match="duration_s 0"):
        SequenceConfig(SHORT.scene, duration_s=0.0)


CAMERA = {
    "name": "rgb", "rate_hz": 30.0, "latency_ns": 0, "width": 8, "height": 4, "matrix": [1.0] * 9,
}  # fmt: skip
SMALL = {
    "period_ns": 33_000_000,
    "encodings": {"rgb": "rgb8", "depth": "32FC1"},
    "labels": {"rgb": "labels_rgb.npy"},
    "cameras": {"rgb": CAMERA},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"period_ns": 0}, "period_ns is 0"),
        ({"encodings": {"../rgb": "rgb8"}}, "expected those of sensors"),
        ({"encodings": {"rgb": 3}}, "expected those of sensors"),
        ({"labels": {"rgb": "../labels_rgb.npy"}}, "cannot be the name of an array"),
        ({"labels": {"rgb": "/dev/zero"}}, "cannot be the name of an array"),
        ({"labels": {"rgb": "pipe.npy"}}, "no regular file"),
        ({"labels": {"rgb": "depth.npy"}}, "depth.npy is float32"),
        ({"labels": {"rgb": "short.npy"}}, r"have \[2, 3\] frames"),
        ({"labels": 5}, "is no rendered sequence"),
        ({"cameras": {"rgb": {"name": "rgb"}}}, "'matrix' is missing"),
        ({"cameras": {"rgb": {**CAMERA, "rate_hz": 0}}}, "numbers that cannot"),
        ({"cameras": {"thermal": CAMERA}}, "is called 'rgb' as well"),
    ],
)
def test_a_folder_of_somebody_else_is_a_sequence_or_refused(
    change: dict[str, object], said: str, tmp_path: Path
):
    for name, array in (
        ("rgb", np.zeros((3, 4, 8, 3), np.uint8)),
        ("depth", np.zeros((3, 4, 8), np.float32)),
        ("labels_rgb", np.zeros((3, 4, 8), np.uint8)),
        ("short", np.zeros((2, 4, 8), np.uint8)),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "sequence.json").write_text(json.dumps({**SMALL, **change}))
    if not said:
        assert len(Sequence(tmp_path)) == 3
        return
    with pytest.raises(ConfigError, match=said):
        Sequence(tmp_path)
