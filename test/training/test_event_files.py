"""Files of recorded events become what a live camera's events become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.store import PixelGrid
from anymodal_seg_ros.sensing.events.values import Events, EventWindow
from anymodal_seg_training.datasets.event_files import dsec_image, npz_image
from anymodal_seg_training.datasets.layout import ImageLayout
from anymodal_seg_training.errors import TrainingError

HEIGHT, WIDTH, OFFSET_US = 24, 32, 7_000_000_123
RNG = np.random.default_rng(3)
N = 4000
X, Y, P = (RNG.integers(0, high, N) for high in (WIDTH, HEIGHT, 2))
T = np.sort(RNG.integers(0, 300_000, N))
LAYOUT = ImageLayout("", "dsec", window_s=0.05, height=HEIGHT, width=WIDTH)
TIMES = [OFFSET_US + us for us in (50_000, 123_456, 250_000)]


@pytest.fixture
def recording(tmp_path: Path) -> list[Path]:
    """Events, a map that moves everything three columns to the right, and times of labels."""
    h5py = pytest.importorskip("h5py")
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, column in {"x": X, "y": Y, "t": T, "p": P}.items():
            dtype = np.uint32 if name == "t" else np.uint16
            stored = column.astype(dtype)
            file.create_dataset(f"events/{name}", data=stored, **hdf5plugin.Blosc("zstd"))
        file["t_offset"] = OFFSET_US
        file["ms_to_idx"] = np.searchsorted(T, np.arange(0, 300) * 1000)
    with h5py.File(tmp_path / "rectify_map.h5", "w") as file:
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        file["rectify_map"] = np.stack([columns + 3.2, rows], axis=-1).astype(np.float32)
    (tmp_path / "timestamps.txt").write_text("".join(f"{us}\n" for us in TIMES))
    return [tmp_path / name for name in ("events.h5", "rectify_map.h5", "timestamps.txt")]


def _expected(start_us: int, end_us: int, moved: int) -> np.ndarray:
    chosen = (start_us <= T) & (end_us > T)
    events = Events(T[chosen] * 1000, X[chosen] + moved, Y[chosen], P[chosen])
    time_ns, cells = PixelGrid(HEIGHT, WIDTH, 1).place(events)
    window = EventWindow(start_us * 1000, end_us * 1000, "", HEIGHT, WIDTH, time_ns, cells, True)
    return render_image(window).pixels


@pytest.mark.parametrize("number", [0, 1, 2])
def test_events_of_dsec_before_a_label_are_rectified_and_rendered(
    recording: list[Path], number: int
) -> None:
    image = dsec_image(recording, LAYOUT, f"{number:06d}")
    end_us = TIMES[number] - OFFSET_US
    assert image.encoding == "8UC3"
    np.testing.assert_array_equal(image.pixels, _expected(end_us - 50_000, end_us, 3))
    assert image.pixels.any() and not image.pixels[:, :3].any()


def test_what_is_wrong_with_events_of_dsec_is_named(recording: list[Path]) -> None:
    with pytest.raises(TrainingError, match=r"timestamps.txt has 3 times: there is none for '9'"):
        dsec_image(recording, LAYOUT, "9")
    with pytest.raises(TrainingError, match="expected events, map, times"):
        dsec_image(recording[:1], LAYOUT, "0")
    with pytest.raises(TrainingError, match="give height and width"):
        dsec_image(recording, ImageLayout("", "dsec"), "0")
    recording[0].write_bytes(b"no events")
    with pytest.raises(TrainingError, match=r"events.h5 cannot be read as HDF5"):
        dsec_image(recording, LAYOUT, "0")
    recording[0].unlink()
    with pytest.raises(TrainingError, match=r"events.h5 is missing"):
        dsec_image(recording, LAYOUT, "0")


@pytest.mark.parametrize("scale", [1e-6, 1, 1000])
def test_events_of_eventscape_are_rendered_whatever_their_unit_of_time(
    scale: float, tmp_path: Path
) -> None:
    path = tmp_path / "events.npz"
    np.savez(path, x=X, y=Y, t=T * scale, p=P)
    image = npz_image(path, LAYOUT)
    expected = _expected(0, int(T.max()) + 1, 0)
    np.testing.assert_array_equal(image.pixels[..., :2], expected[..., :2])
    newest = image.pixels[..., 2].astype(int) - expected[..., 2]
    assert abs(newest).max() <= 2  # the first event begins the window


def test_polarity_may_be_signed_and_a_file_without_events_is_black(tmp_path: Path) -> None:
    path = tmp_path / "events.npz"
    np.savez(path, x=X, y=Y, t=T, p=P)
    unsigned = npz_image(path, LAYOUT).pixels
    np.savez(path, x=X, y=Y, t=T, p=2 * P - 1)
    np.testing.assert_array_equal(npz_image(path, LAYOUT).pixels, unsigned)
    np.savez(path, x=X[:0], y=Y[:0], t=T[:0], p=P[:0])
    assert not npz_image(path, LAYOUT).pixels.any()


def test_a_file_without_the_arrays_of_events_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.npz"
    with pytest.raises(TrainingError, match=r"events.npz is missing"):
        npz_image(path, LAYOUT)
    np.savez(path, x=X, y=Y, t=T)
    with pytest.raises(TrainingError, match=r"cannot be read as events \(x, y, t, p\)"):
        npz_image(path, LAYOUT)
    np.savez(path, x=X, y=Y, t=T, p=P[:5])
    with pytest.raises(TrainingError, match="different lengths"):
        npz_image(path, LAYOUT)
