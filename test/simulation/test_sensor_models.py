"""The sensors agree with each other and with the labels, and each sees what the others cannot."""

import dataclasses

import numpy as np
import pytest
from fixtures.small_rig import SMALL

from anymodal_seg_ros.simulation.cameras.blur import blurred
from anymodal_seg_ros.simulation.cameras.depth import DepthCamera
from anymodal_seg_ros.simulation.cameras.events import EventCamera
from anymodal_seg_ros.simulation.cameras.rgb import RgbCamera
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.cameras.thermal import ThermalCamera, apparent_kelvin
from anymodal_seg_ros.simulation.rig import Rig, RigFrame
from anymodal_seg_ros.simulation.world.camera import DEFAULT_CAMERA
from anymodal_seg_ros.simulation.world.classes import BUILDING, PERSON, POLE, ROAD, SKY
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

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


@pytest.mark.slow
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
            assert warmth > np.median(temperature[labels == ROAD]) + 2.0
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
    conditions = (("sun", 12.0), ("night", 23.0))
    day, night = (Rig().capture(Scene(SceneConfig(4, *c)), 0) for c in conditions)
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


def test_the_event_frame_is_the_accumulation_of_the_packets():
    observer = Observer(Scene(SceneConfig(6, "sun", ego="driving")))
    sensor = EventCamera(camera=SMALL)
    begin = SECOND - sensor.window_ns
    events = sensor.packets(observer, begin, SECOND)
    assert events.time_ns.dtype == np.int64 and (np.diff(events.time_ns) >= 0).all()
    assert events.time_ns[0] >= begin and events.time_ns[-1] < SECOND
    assert (events.x.dtype, events.y.dtype, events.on.dtype) == (np.uint16, np.uint16, np.bool_)
    counts = np.zeros((2, 120, 160))
    np.add.at(counts, (1 - events.on.astype(int), events.y, events.x), 1)
    expected = np.rint(255 * (1 - np.exp(-0.5 * counts)))
    pixels = sensor.capture(observer, SECOND).pixels
    assert np.array_equal(np.moveaxis(pixels[..., :2], -1, 0), expected)
    assert np.array_equal(pixels[..., 2] > 0, counts.any(0))


def test_events_have_the_sign_of_the_change():
    observer = Observer(Scene(SceneConfig(6, "sun", 12.0, ego="driving")))
    sensor = EventCamera(camera=SMALL, noise_hz=0.0, threshold_spread=0.0)
    events = sensor.packets(observer, SECOND - sensor.window_ns, SECOND)
    net = np.zeros((120, 160))
    np.add.at(net, (events.y, events.x), np.where(events.on, 1.0, -1.0))
    change = np.log(observer.radiance(SMALL, SECOND).mean(2)) - np.log(
        observer.radiance(SMALL, SECOND - sensor.window_ns).mean(2)
    )
    strong = np.abs(change) > 3 * sensor.threshold
    assert strong.sum() > 100
    # The pictures are point samples; the camera has a lens, and its way between them counts.
    assert (np.sign(net) == np.sign(change))[strong].mean() > 0.8


def test_events_come_at_many_times_within_the_window():
    observer = Observer(Scene(SceneConfig(6, "sun", ego="driving")))
    sensor = EventCamera(camera=SMALL)
    events = sensor.packets(observer, SECOND - sensor.window_ns, SECOND)
    share = np.histogram(events.time_ns, bins=8)[0] / len(events)
    assert share.min() > 0.04


def test_a_span_in_two_cuts_has_as_many_events_as_in_one():
    observer = Observer(Scene(SceneConfig(3, "cloud", 12.0, ego="driving")))
    sensor = EventCamera(camera=SMALL)
    middle = SECOND + 15_000_000
    whole = len(sensor.packets(observer, SECOND, SECOND + 30_000_000))
    parts = len(sensor.packets(observer, SECOND, middle))
    parts += len(sensor.packets(observer, middle, SECOND + 30_000_000))
    assert parts == pytest.approx(whole, rel=0.15)


def test_events_are_late_in_the_dark():
    observer = Observer(Scene(SceneConfig(6, "night", ego="driving")))
    slow = EventCamera(camera=SMALL, noise_hz=0.0)
    fast = dataclasses.replace(slow, dark_delay_ns=0)
    begin = SECOND - 10_000_000
    assert len(slow.packets(observer, begin, SECOND)) > 0
    assert not np.array_equal(
        slow.packets(observer, begin, SECOND).time_ns, fast.packets(observer, begin, SECOND).time_ns
    )


def test_the_longer_the_exposure_the_more_a_drive_blurs():
    observer = Observer(Scene(SceneConfig(2, "sun", 12.0, ego="driving")))
    light = observer.radiance(SMALL, SECOND)
    sharp = [
        np.abs(np.diff(blurred(light, observer, SMALL, SECOND, t), axis=1)).mean()
        for t in (1e-4, 0.005, 0.03)
    ]
    assert sharp[0] > sharp[1] > sharp[2]
    still = Observer(Scene(SceneConfig(2, "sun", 12.0, ego="standing", people_and_traffic=False)))
    light = still.radiance(SMALL, SECOND)
    assert blurred(light, still, SMALL, SECOND, 0.03) is light


def test_fog_takes_contrast_by_koschmieders_law():
    """Far black things approach the airlight as ``1 - exp(-βz)``; thermal sees through."""
    observer = Observer(Scene(SceneConfig(5, "fog", 12.0)))
    light = observer.scene.illumination
    view = observer.view(SMALL, SECOND)
    beyond = (view.depth() > 3 * light.visibility_m) & np.isfinite(view.depth())
    radiance = observer.radiance(SMALL, SECOND)
    if beyond.any():
        assert np.abs(radiance[beyond] - light.horizon).max() < 0.06
    assert 15.0 < light.visibility_m < 200.0
    far = view.z > 40.0
    thermal = apparent_kelvin(view).reshape(-1)[view.seen.at.ray][far]
    assert np.percentile(thermal, 99) - np.percentile(thermal, 1) > 0.5


def test_rain_flattens_thermal_contrast_and_darkens_the_road():
    def road(weather: str) -> tuple[float, float]:
        view = Observer(Scene(SceneConfig(12, weather, 14.0))).view(SMALL, SECOND)
        kelvin = apparent_kelvin(view)
        labels = view.labels()
        ground = kelvin[labels == ROAD]
        return float(ground.std()), float(np.median(ground) - view.scene.illumination.air_k)

    assert road("rain")[1] < 0.5 * road("sun")[1]


def test_contrast_is_low_at_the_thermal_crossover():
    """Grass and asphalt change places between a summer's noon and night."""

    def difference(hour: float) -> float:
        scene = Scene(SceneConfig(12, "sun", hour, kind="suburban", people_and_traffic=False))
        view = Observer(scene).view(SMALL, SECOND)
        kelvin, labels = apparent_kelvin(view), view.labels()
        return float(np.median(kelvin[labels == ROAD]) - np.median(kelvin[labels == BUILDING]))

    noon, morning = difference(14.0), difference(6.5)
    assert abs(morning) < 0.5 * abs(noon)


def test_warm_engines_stand_out_from_parked_cars():
    for seed in range(20):
        scene = Scene(SceneConfig(seed, "night"))
        observer = Observer(scene)
        view = observer.view(DEFAULT_CAMERA, 0)
        engine = (scene.surfaces.warm_to_k > 340)[view.seen.at.surface] & (view.z < 60)
        engine &= (scene.surfaces.warm_share > 0.2)[view.seen.at.surface]
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
