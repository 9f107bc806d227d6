"""Files that were damaged or made up: each is read, or refused in one line, and nothing else.

    pytest test/fuzz --hypothesis-profile long        thousands of files instead of some dozen

ONNX files are parsed by a foreign library, so a process of its own reads them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.bag_files import IMAGE, images, write_bag
from fixtures.calibrations import write_camera_info
from fixtures.tiny_model import write_tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.faults.timeline import load_timeline
from anymodal_seg_ros.inference.manifest import load_manifest
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.sensing.geometry.calibration import load_calibration
from anymodal_seg_ros.sensing.geometry.cameras import Camera

fuzz = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PARAMETERS = """/**:
  ros__parameters:
    model: rig-nano
    rig:
      deadline_s: 0.02
      sensors:
        rgb: {topic: rgb/image, modality: rgb, expected_hz: 30.0}
        thermal: {topic: t, modality: thermal, counts: {per_count: 0.04}, checks: {noise: false}}
"""
TIMELINE = """faults:
- {sensor: rgb, kind: off, start_s: 1.0, end_s: 2.5}
- {sensor: thermal, kind: delayed, start_s: 0, delay_s: 0.1}
"""

words = st.sampled_from(
    [
        *(
            "",
            "~",
            "-",
            ": ",
            "&a ",
            "*a",
            "{",
            "}",
            "[",
            "]",
            "'",
            '"',
            "\t",
            "\n",
            "? ",
            "|",
            ">",
        ),
        *("%", "@", "#", "<<: ", "!!binary ", "yes", "0x", "1e999", ".inf", "nan", "-1", "9" * 40),
        *("\0", "\x1b[31m", "é"),
    ]
)


@st.composite
def spoilt_texts(draw: st.DrawFn, good: str) -> str:
    """A text with words put in, left out and repeated."""
    text = good
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        middle = draw(words | st.text(max_size=8) | st.just(text[at : at + length] * 3))
        text = text[:at] + middle + text[at + length :]
    return text


@st.composite
def spoilt_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes that were cut, flipped and overwritten by extreme numbers."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "extreme", "cut", "drop", "double"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "extreme":
            number = draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
            data[at : at + 8] = number.to_bytes(8, "little")
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 64))]
        else:
            data[at:at] = data[at : at + 64]
    return bytes(data)


def read_or_refused(read: Callable[[], Any]) -> None:
    began = time.process_time()
    try:
        read()
    except AnymodalError as error:
        said = str(error)
        assert 0 < len(said) < 500 and said.isprintable(), repr(said)
    assert time.process_time() - began < 20, "a file of a kilobyte"


@fuzz
@given(spoilt_texts(PARAMETERS))
def test_parameters(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    read_or_refused(lambda: load_config(path))


@fuzz
@given(spoilt_texts(TIMELINE))
def test_timelines(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    read_or_refused(lambda: load_timeline(path))


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("calibration") / "c.yaml"
    matrix = np.array([[30.0, 0, 14.5], [0, 30.0, 9.5], [0, 0, 1]])
    write_camera_info(Camera(30, 20, matrix), path)
    return path.read_text()


@fuzz
@given(st.data())
def test_calibrations(calibration: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "c.yaml"
    text = data.draw(spoilt_texts(calibration))
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    read_or_refused(lambda: load_calibration(str(path)))


@fuzz
@given(st.data())
def test_model_folders(tiny_model: Path, tmp_path: Path, data: st.DataObject) -> None:
    text = data.draw(spoilt_texts((tiny_model / "model.yaml").read_text()))
    (tmp_path / "model.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    for name in ("model.onnx", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_model / name).read_bytes())
    read_or_refused(lambda: load_manifest(tmp_path))
    read_or_refused(lambda: load_model(str(tmp_path)))


@pytest.fixture(scope="module", params=["mcap", "sqlite3"])
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "bag"
    return write_bag(path, {"/rgb": (IMAGE, images(3))}, request.param)


def read_whole(folder: Path) -> None:
    with Bag(folder) as bag:
        for message in bag.messages(["/rgb"]):
            try:
                bag.decode(message)
            except AnymodalError as error:
                assert len(str(error)) < 500


@fuzz
@given(st.data())
def test_bags(bag: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    victim = data.draw(st.sampled_from(sorted(path.name for path in bag.iterdir())))
    for path in bag.iterdir():
        content = path.read_bytes()
        (folder / path.name).write_bytes(
            data.draw(spoilt_bytes(content)) if path.name == victim else content
        )
    read_or_refused(lambda: read_whole(folder))


CHILD = """
import random, sys
from pathlib import Path
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.runtimes import onnxruntime_engine
from anymodal_seg_ros.inference.manifest import dump_manifest, load_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from dataclasses import replace

folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
onnxruntime_engine.LOAD_LIMIT_S = 5.0
manifest, good = load_manifest(folder), (folder / "model.onnx").read_bytes()
draw, accepted = random.Random(seed), 0
for number in range(count):
    data = bytearray(good)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data))
        if draw.random() < 0.6:
            data[at] = draw.choice([0, 1, 127, 128, 255, data[at] ^ (1 << draw.randrange(8))])
        elif draw.random() < 0.5:
            del data[at : at + draw.randint(1, 40)]
        else:
            data[at:at] = data[at : at + draw.randint(1, 40)]
    print(number, data.hex(), file=sys.stderr, flush=True)
    (folder / "model.onnx").write_bytes(data)
    files = {r: replace(f, sha256=sha256(folder / f.path)) for r, f in manifest.files.items()}
    dump_manifest(replace(manifest, files=files), folder)
    try:
        create_engine("onnxruntime", load_model(str(folder)), 1)
        accepted += 1
    except AnymodalError as error:
        assert len(str(error)) < 500 and str(error).isprintable()
print(accepted, "of", count, "are graphs of the same contract")
"""


def test_onnx_files(tmp_path: Path, project_root: Path) -> None:
    """Most are refused; some changes leave a graph that does what its manifest says."""
    count = 40 if settings.default.max_examples <= 100 else 20 * settings.default.max_examples
    write_tiny_model(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "18", str(count)],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-12:]
    assert done.returncode == 0, f"exit code {done.returncode}: {last}"
    assert "of the same contract" in done.stdout
