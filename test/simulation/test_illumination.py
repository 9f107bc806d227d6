"""Light, air and heat follow the hour and the weather."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.world.illumination import WEATHERS, Illumination, draw_illumination
from anymodal_seg_ros.simulation.world.weather import rain_extinction


def drawn(weather: str, hour: float = -1.0, seed: int = 0) -> Illumination:
    return draw_illumination(weather, hour, np.random.default_rng(seed))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WEATHERS), st.integers(0, 10_000))
def test_everything_drawn_is_physical(weather: str, seed: int):
    light = drawn(weather, seed=seed)
    assert light.kind == weather
    assert 0.0 <= light.hour < 24.0
    assert np.linalg.norm(light.sun_direction) == pytest.approx(1.0)
    assert min(*light.sun, *light.sky, *light.zenith, *light.horizon) >= 0.0
    assert 20.0 < light.visibility_m < 10_000.0
    assert 0.0 <= light.wetness <= 1.0 and (light.rain_mm_h > 0) == (weather == "rain")
    assert 255.0 < light.air_k < 310.0 and light.zenith_k < light.air_k
    assert 0.0 <= light.heat_fast < 1.4 and 0.0 <= light.heat_slow < 1.4
    assert light == drawn(weather, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_day_goes_from_night_over_red_light_to_noon_and_back(seed: int):
    hours = (3.0, 7.5, 12.0, 17.0, 23.0)
    night, morning, noon, evening, late = (drawn("sun", h, seed) for h in hours)
    assert night.lamps_on and late.lamps_on and not noon.lamps_on
    assert max(night.sun) < 0.01 < min(noon.sun)
    assert noon.sun_elevation > morning.sun_elevation > night.sun_elevation
    assert morning.sun[0] / morning.sun[2] > noon.sun[0] / noon.sun[2]
    assert noon.sky[1] > 20 * night.sky[1]
    assert noon.air_k > night.air_k
    # Massive surfaces lag behind: warmer in the evening than at the same height of the sun.
    assert evening.heat_slow > morning.heat_slow
    assert night.cooling > 0.4 > 0.1 > noon.cooling


def test_night_is_drawn_at_night_and_the_others_by_day_or_in_twilight():
    for seed in range(30):
        night = drawn("night", seed=seed)
        assert night.lamps_on and (night.hour >= 20.0 or night.hour <= 5.0)
        assert 6.0 <= drawn("fog", seed=seed).hour <= 19.0
    assert {drawn("random", seed=s).kind for s in range(40)} == set(WEATHERS)


def test_fog_hides_and_rain_wets():
    assert drawn("fog").visibility_m < 200.0 < drawn("rain").visibility_m
    assert drawn("rain").wetness > 0.5 and drawn("sun").wetness == 0.0
    assert drawn("rain").fog < drawn("rain").extinction
    assert rain_extinction(25.0) == pytest.approx(9.3e-3 / 4.343, rel=0.02)


@pytest.mark.parametrize(
    ("weather", "hour", "word"),
    [("snow", 12.0, "'snow'"), ("sun", 25.0, "hour is 25"), ("night", 12.0, "hour is 12")],
)
def test_what_cannot_be_is_named(weather: str, hour: float, word: str):
    with pytest.raises(ConfigError, match=word):
        drawn(weather, hour)
