"""The sensors agree with each other and with the labels, and each sees what the others cannot."""

import dataclasses

import numpy as np
import pytest

from anymodal_seg_ros.simulation.camera import DEFAULT_CAMERA
from anymodal_seg_ros.simulation.classes import PERSON, POLE, ROAD, SKY
from anymodal_seg_ros.simulation.depth import DepthCamera
from anymodal_seg_ros.simulation.events import EventCamera
from anymodal_seg_ros.simulation.rgb import RgbCamera
from anymodal_seg_ros.simulation.rig import Rig, RigFrame
from anymodal_seg_ros.simulation.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.thermal import ThermalCamera, apparent_kelvin

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def nights() -> list[RigFrame]:
    rig = Rig()
    return [rig.capture(Scene(SceneConfig(seed, "night")), SECOND) for seed in range(20, 30)]


def kelvin(frame: RigFrame) -> np.ndarray:
    return frame.images["thermal"].pixels * 0.01


def contrast(values: np.ndarray, labels: np.ndarray) -> float:
    """How far people's values lie from the ground's, in standard deviations of the ground."""
    people, ground = values[labels == PERSON], values[labels == ROAD]
    return float(abs(np.median(people) - np.median(ground)) / ground.std())


def test_the_sky_has_no_depth_and_the_near_ground_has(nights: list[RigFrame]):
    for frame in nights:
        depth, labels = frame.images["depth"].pixels, frame.labels["depth"]
        assert np.isnan(depth[labels == SKY]).all()
        assert np.isnan(depth[-20:]).mean() < 0.2
        assert np.nanmin(depth) >= 0.4
        assert np.nanmax(depth) <= 60.0


def test_people_are_warmer_than_the_ground_at_night_and_the_sky_is_coldest(
    nights: list[RigFrame],
):
    met = 0
    for frame in nights:
        labels, temperature = frame.labels["thermal"], kelvin(frame)
        if (labels == PERSON).sum() > 100:
            met += 1
            warmth = np.median(temperature[labels == PERSON])
            assert warmth > np.median(temperature[labels == ROAD]) + 3.0
        assert np.median(temperature[labels == SKY]) < np.median(temperature[labels == ROAD])
        assert temperature.min() > 200.0 and temperature.max() < 400.0
    assert met >= 5


def test_at_night_thermal_sees_the_people_that_rgb_loses(nights: list[RigFrame]):
    gains = []
    for frame in nights:
        labels = frame.labels["rgb"]
        if (labels == PERSON).sum() > 100:
            grey = frame.images["rgb"].pixels.mean(2)
            gains.append(contrast(kelvin(frame), labels) / (contrast(grey, labels) + 0.1))
    assert np.median(gains) > 2.0


def test_night_pictures_are_dark_and_noisy_beyond_the_lamps():
    day, night = (Rig().capture(Scene(SceneConfig(4, kind)), 0) for kind in ("sun", "night"))
    upper = np.s_[:80]
    assert np.median(day.images["rgb"].pixels[upper]) > 90
    assert np.median(night.images["rgb"].pixels[upper]) < 50


def test_depth_error_grows_with_the_square_of_distance():
    scene = Scene(SceneConfig(9, "sun", people_and_traffic=False))
    observer = Observer(scene)
    sensor = DepthCamera(dropout=0.0)
    view = observer.view(sensor.camera, 0)
    true = view.image(view.z, np.inf)
    error = np.abs(sensor.capture(observer, 0).pixels - true)
    near = np.nanmedian(error[(true > 4) & (true < 6)])
    far = np.nanmedian(error[(true > 18) & (true < 22)])
    assert far / near == pytest.approx((20 / 5) ** 2, rel=0.4)
    expected = 0.6745 * sensor.disparity_noise_px * 25 / (245 * sensor.baseline_m)
    assert near == pytest.approx(expected, rel=0.4)


def test_depth_is_lost_beside_near_things_on_one_side_only():
    """The other eye, to the right, cannot see what a pole hides: a strip on the pole's left."""
    for seed in range(30):
        scene = Scene(SceneConfig(seed, "sun", people_and_traffic=False))
        observer = Observer(scene)
        sensor = DepthCamera(dropout=0.0)
        view = observer.view(DEFAULT_CAMERA, 0)
        z, labels = view.image(view.z, np.inf), view.labels()
        lost = np.isnan(sensor.capture(observer, 0).pixels)
        left = right = 0
        for row, column in np.argwhere((labels == POLE) & (z < 8)):
            if not 8 < column < 311:
                continue
            for step, side in ((-1, "left"), (1, "right")):
                beside = z[row, column + step]
                if 2 * z[row, column] < beside < 55:
                    left += side == "left" and lost[row, column + step]
                    right += side == "right" and lost[row, column + step]
        if left + right > 20:
            assert left > 3 * right
            return
    pytest.fail("no scene had a near pole before a near enough background")


def test_a_still_world_gives_hardly_any_events_and_a_drive_gives_many():
    def share(ego: str) -> float:
        scene = Scene(SceneConfig(6, "sun", ego=ego, people_and_traffic=False))
        pixels = EventCamera().capture(Observer(scene), SECOND).pixels
        return float((pixels[..., :2] > 0).any(-1).mean())

    assert share("standing") < 0.01
    assert share("driving") > 0.03


def test_event_channels_mean_what_they_say():
    scene = Scene(SceneConfig(6, "sun", ego="driving"))
    sensor = EventCamera(noise_per_window=0.0, threshold_spread=0.0)
    observer = Observer(scene)
    pixels = sensor.capture(observer, SECOND).pixels
    positive, negative, recency = np.moveaxis(pixels, -1, 0)
    assert not ((positive > 0) & (negative > 0)).any()
    assert np.array_equal(recency > 0, (positive > 0) | (negative > 0))
    change = np.log(observer.radiance(sensor.camera, SECOND).mean(2) + 1e-3) - np.log(
        observer.radiance(sensor.camera, SECOND - sensor.window_ns).mean(2) + 1e-3
    )
    assert (change[positive > 0] > 0).mean() > 0.97
    assert (change[negative > 0] < 0).mean() > 0.97
    one_event = round(255 * (1 - np.exp(-0.5)))
    assert positive[positive > 0].min() == one_event


def test_warm_engines_stand_out_from_parked_cars():
    for seed in range(20):
        scene = Scene(SceneConfig(seed, "night"))
        observer = Observer(scene)
        view = observer.view(DEFAULT_CAMERA, 0)
        engine = (scene.surfaces.warm_to_k > 340)[view.surface] & (view.z < 60)
        engine &= (scene.surfaces.warm_share > 0.2)[view.surface]
        if engine.sum() > 60:
            seen = apparent_kelvin(view).reshape(-1)[view.hit]
            assert np.median(seen[engine]) > scene.illumination.air_k + 4.0
            return
    pytest.fail("no scene showed a running engine")


def test_every_sensor_may_have_a_camera_of_its_own():
    """The labels follow the sensor's geometry, not the rig's."""
    small = dataclasses.replace(
        DEFAULT_CAMERA,
        intrinsics=dataclasses.replace(
            DEFAULT_CAMERA.intrinsics, width=160, height=120, fx=122.5, fy=122.5, cx=79.5, cy=59.5
        ),
        mount=dataclasses.replace(DEFAULT_CAMERA.mount, y=0.2),
    )
    rig = Rig((RgbCamera(), ThermalCamera(camera=small)))
    frame = rig.capture(Scene(SceneConfig(1)), 0)
    assert frame.images["rgb"].pixels.shape == (240, 320, 3)
    assert frame.images["thermal"].pixels.shape == (120, 160)
    assert frame.labels["thermal"].shape == (120, 160)
    halved = frame.labels["rgb"][::2, ::2]
    agreement = (halved == frame.labels["thermal"]).mean()
    assert 0.8 < agreement < 1.0
