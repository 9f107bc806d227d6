"""The five image faults: right for each encoding, harmless to what has no measurement."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fixtures.clouds import cloud_message
from fixtures.messages import image_message
from fixtures.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.content import FITS, Content, check_modalities, content_of
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.kinds import (
    IMAGE_KINDS,
    EventLowResolution,
    ImageFault,
    LidarJitter,
    MotionBlur,
    Off,
    OverExposure,
    UnderExposure,
    WrongColours,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD, decode_cloud

HEIGHT, WIDTH = 60, 80


def points(number: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-20, 20, (number, 3)).astype(np.float32)


def cloud(xyz: np.ndarray) -> Image:
    columns = dict(zip("xyz", xyz.T, strict=True))
    ring = np.arange(len(xyz), dtype=np.uint16)
    return Image(decode_cloud(cloud_message({**columns, "ring": ring})), POINT_CLOUD)


def lidar() -> Image:
    rng = np.random.default_rng(3)
    planes = rng.uniform(2.0, 50.0, (HEIGHT, WIDTH, 3)).astype(np.float32)
    planes[rng.random((HEIGHT, WIDTH)) < 0.7] = np.nan
    return Image(planes, "32FC3")


RGB = Image(scene("rgb", 0, HEIGHT, WIDTH), "rgb8")
THERMAL = Image(scene("thermal", 0, HEIGHT, WIDTH), "mono16")
DEPTH = Image(scene("depth", 0, HEIGHT, WIDTH), "32FC1")
EVENTS = Image(scene("event", 0, HEIGHT, WIDTH), "8UC3")
MILLIMETRES = Image(np.nan_to_num(DEPTH.pixels * 1000).astype(np.uint16), "16UC1")
IMAGES = {
    Content.PICTURE: (
        RGB,
        Image(RGB.pixels[..., 0], "mono8"),
        Image(np.dstack([RGB.pixels, RGB.pixels[..., :1]]), "bgra8"),
        Image(RGB.pixels.astype(np.uint16) * 257, "rgb16"),
        decode_image(image_message(RGB.pixels, "bgr8", padding=3)),
    ),
    Content.COUNTS: (
        THERMAL,
        decode_image(image_message(THERMAL.pixels, "mono16", big_endian=True)),
    ),
    Content.DEPTH: (DEPTH, MILLIMETRES, Image(DEPTH.pixels.astype(np.float64), "64FC1")),
    Content.EVENTS: (EVENTS,),
    Content.LIDAR: (lidar(),),
    Content.CLOUD: (cloud(points()),),
}
EXAMPLES = [(content, image) for content, images in IMAGES.items() for image in images]
names = [f"{content.name.lower()}-{image.encoding}" for content, image in EXAMPLES]


def fits(cls: type[ImageFault], image: Image) -> bool:
    coloured = image.pixels.ndim == 3
    return content_of(image) in FITS[cls] and (coloured or cls is not WrongColours)


def apply(fault: ImageFault, image: Image, seed: int = 0) -> Image:
    return apply_image_fault(fault, image, np.random.default_rng(seed))


@pytest.mark.parametrize(("content", "image"), EXAMPLES, ids=names)
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_size_and_encoding_stay_or_the_kind_is_refused(
    kind: str, content: Content, image: Image
) -> None:
    cls = IMAGE_KINDS[kind]
    assert content_of(image) is content
    before = image.pixels.tobytes()
    native = image.pixels.astype(image.pixels.dtype.newbyteorder("=")).tobytes()
    if not fits(cls, image):
        says = "a grey picture" if content in FITS[cls] else image.encoding
        with pytest.raises(ConfigError, match=f"{kind} cannot happen to .*{says}"):
            apply(cls("x"), image)
        return
    assert apply(cls("x", severity=0.0), image) is image
    for severity in (0.01, 0.5, 1.0):
        fault = cls("x", severity=severity)
        broken = apply(fault, image)
        assert broken.encoding == image.encoding
        assert broken.pixels.shape == image.pixels.shape
        assert broken.pixels.dtype == image.pixels.dtype.newbyteorder("=")
        assert broken.pixels.tobytes() == apply(fault, image).pixels.tobytes()
        if severity >= 0.5:
            assert broken.pixels.tobytes() != native
    assert image.pixels.tobytes() == before, "the original is not written to"


@pytest.mark.parametrize("encoding", sorted(LAYOUTS))
def test_every_encoding_is_refused_or_broken_whatever_its_bytes(encoding: str) -> None:
    layout = LAYOUTS[encoding]
    shape = (6, 8) if layout.channels == 1 else (6, 8, layout.channels)
    raw = np.random.default_rng(3).integers(0, 256, (*shape, layout.dtype.itemsize), np.uint8)
    image = Image(raw.view(layout.dtype).reshape(shape), encoding)
    for cls in IMAGE_KINDS.values():
        if fits(cls, image):
            assert apply(cls("x"), image).pixels.shape == shape
        else:
            with pytest.raises(ConfigError):
                apply(cls("x"), image)


def mean(image: Image) -> float:
    return float(np.nanmean(image.pixels.astype(np.float64)))


@pytest.mark.parametrize("image", [RGB, THERMAL], ids=["rgb", "thermal"])
def test_exposure_grows_with_severity(image: Image) -> None:
    over = [mean(apply(OverExposure("x", severity=s / 4), image)) for s in range(5)]
    under = [mean(apply(UnderExposure("x", severity=s / 4), image)) for s in range(5)]
    assert all(a < b for a, b in pairwise(over))
    assert all(a > b for a, b in pairwise(under))


def test_over_exposure_is_a_factor_on_light_and_clips() -> None:
    grey = Image(np.array([[0, 20, 60, 200, 255]], np.uint8), "mono8")
    broken = apply(OverExposure("x", severity=0.5), grey)  # four times the light
    expected = np.minimum(255, np.rint(grey.pixels * 4 ** (1 / 2.2)))
    np.testing.assert_allclose(broken.pixels, expected, atol=1)
    assert broken.pixels[0, 3] == 255


def test_an_under_exposed_picture_is_dark_and_noisy() -> None:
    grey = Image(np.full((100, 100), 128, np.uint8), "mono8")
    broken = apply(UnderExposure("x", severity=1.0), grey)
    assert broken.pixels.mean() < 30
    assert broken.pixels.std() > 1.0


def test_counts_stay_temperatures_within_the_span_they_had() -> None:
    for cls in (OverExposure, UnderExposure):
        broken = apply(cls("x", severity=1.0), THERMAL).pixels
        span = int(THERMAL.pixels.max()) - int(THERMAL.pixels.min())
        assert broken.min() > THERMAL.pixels.min() - 0.2 * span
        assert broken.max() < THERMAL.pixels.max() + 0.2 * span
    even = Image(np.full((8, 8), 30_000, np.uint16), "mono16")
    assert np.ptp(apply(OverExposure("x"), even).pixels) == 0


def test_blur_averages_light_along_the_motion_only() -> None:
    lamp = np.zeros((21, 200), np.uint8)
    lamp[10, 100] = 255
    along = apply(MotionBlur("x", severity=0.5), Image(lamp, "mono8")).pixels
    assert np.flatnonzero(along.any(axis=1)).tolist() == [10]
    assert 9 <= np.count_nonzero(along) <= 12, "ten pixels of 200"
    light = (along / 255.0) ** 2.2
    assert light.sum() == pytest.approx(1.0, abs=0.05)
    across = apply(MotionBlur("x", severity=0.5, angle_deg=90.0), Image(lamp, "mono8")).pixels
    assert np.flatnonzero(across.any(axis=0)).tolist() == [100]
    even = Image(np.full((20, 200, 3), 77, np.uint8), "rgb8")
    np.testing.assert_array_equal(apply(MotionBlur("x"), even).pixels, even.pixels)


@pytest.mark.parametrize("image", [DEPTH, MILLIMETRES], ids=["float", "millimetres"])
def test_blur_of_depth_keeps_what_is_unknown_and_never_mixes_it_in(image: Image) -> None:
    broken = apply(MotionBlur("x", severity=1.0), image).pixels
    unknown = np.isnan(DEPTH.pixels)
    assert unknown.any()
    scale = 1.0 if image is DEPTH else 1000.0
    if image is DEPTH:
        np.testing.assert_array_equal(np.isnan(broken), unknown)
    else:
        np.testing.assert_array_equal(broken == 0, unknown)
    known = broken[~unknown] / scale
    assert known.min() >= np.nanmin(DEPTH.pixels) - 0.01
    assert known.max() <= np.nanmax(DEPTH.pixels) + 0.01


def test_infinite_depths_stay_and_spoil_no_neighbour() -> None:
    metres = np.full((5, 100), 3.0, np.float32)
    metres[:, ::7] = np.inf
    metres[2, 1::9] = -1.0
    broken = apply(MotionBlur("x", severity=1.0), Image(metres, "32FC1")).pixels
    np.testing.assert_allclose(broken, metres, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), severity=st.floats(0.01, 1.0))
def test_a_jittered_scan_is_turned_as_one_piece(seed: int, severity: float) -> None:
    xyz = points(200, seed)
    xyz[3] = np.nan
    xyz[4] = 0.0
    xyz[5, 1] = np.inf
    before = cloud(xyz)
    after = apply(LidarJitter("x", severity=severity), before, seed).pixels
    turned = np.stack([after[axis].ravel() for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(turned[3:6], xyz[3:6])
    np.testing.assert_array_equal(after["ring"], before.pixels["ring"])
    true, seen = np.delete(xyz, (3, 4, 5), 0), np.delete(turned, (3, 4, 5), 0)
    ranges = np.linalg.norm(seen, axis=1)
    errors = ranges - np.linalg.norm(true, axis=1)
    assert 0.05 * severity < errors.std() < 0.2 * severity
    # Points keep the angles between them: all were turned by the same rotation.
    rays = seen / ranges[:, None]
    rays_before = true / np.linalg.norm(true, axis=1)[:, None]
    np.testing.assert_allclose(rays @ rays[0], rays_before @ rays_before[0], atol=1e-4)
    angle = np.rad2deg(np.arccos(np.clip((rays * rays_before).sum(axis=1), -1, 1))).max()
    assert 0 < angle < 25 * severity


def test_a_jittered_lidar_image_keeps_its_returns_and_averages_nothing() -> None:
    before = lidar()
    after = apply(LidarJitter("x", severity=1.0), before).pixels
    gone = np.isnan(after)
    assert (gone.all(axis=2) == gone.any(axis=2)).all()
    share, share_before = (np.isfinite(i[..., 0]).mean() for i in (after, before.pixels))
    assert 0.5 * share_before < share < 1.2 * share_before
    heights = before.pixels[..., 1]
    assert np.isin(after[..., 1][~gone[..., 1]], heights).all()
    assert (after[..., 0][~gone[..., 0]] > 0).all()


def test_a_cloud_without_coordinates_cannot_jitter() -> None:
    events = {"t": np.zeros(3, np.float32), "x": np.ones(3, np.float32)}
    image = Image(decode_cloud(cloud_message(events)), POINT_CLOUD)
    with pytest.raises(ConfigError, match="fields of a point cloud are t, x: expected x, y and z"):
        apply(LidarJitter("x"), image)


def test_coarse_events_come_in_blocks_and_no_pixel_is_invented() -> None:
    coarse = apply(EventLowResolution("x", severity=1.0), EVENTS).pixels
    blocks = coarse[:56].reshape(7, 8, 10, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    for block in coarse[:56:8, ::8].reshape(-1, 3):
        assert (EVENTS.pixels == block).all(axis=2).any()
    active, active_before = ((i > 0).mean() for i in (coarse, EVENTS.pixels))
    assert active == pytest.approx(active_before, abs=0.05)


@pytest.mark.parametrize(
    ("fault", "modality"),
    [
        (MotionBlur("x"), "event"),
        (OverExposure("x"), "depth"),
        (LidarJitter("x"), "rgb"),
        (EventLowResolution("x"), "thermal"),
    ],
)
def test_what_a_modality_rules_out_is_found_before_any_message(
    fault: ImageFault, modality: str
) -> None:
    timeline = FaultTimeline(0, (Off("x"), fault))
    check_modalities(FaultTimeline(0, (replace(fault, sensor="*"),)), {"x": modality})
    check_modalities(timeline, {"x": "sonar"})
    with pytest.raises(ConfigError, match=rf"entry 2 \({fault.kind}\): .*modality {modality}: it"):
        check_modalities(timeline, {"x": modality})


def test_the_modality_decides_where_the_encoding_is_silent() -> None:
    assert content_of(MILLIMETRES) is Content.DEPTH
    assert content_of(MILLIMETRES, "thermal") is Content.COUNTS
    assert content_of(THERMAL, "depth") is Content.DEPTH
    assert content_of(Image(EVENTS.pixels, "8UC3"), "rgb") is Content.PICTURE
    assert content_of(Image(RGB.pixels, "rgb8"), "event") is Content.EVENTS
    assert content_of(Image(DEPTH.pixels, "32FC2")) is None
