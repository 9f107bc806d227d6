"""Sensors keep their rates, out of step and with jitter, whatever happens to their processes."""

import numpy as np
import pytest

from anymodal_seg_ros.simulation.rig import aligned_sensors
from anymodal_seg_ros.simulation.schedule import Schedule

SENSORS = {sensor.name: sensor for sensor in aligned_sensors(lidar=True)}


@pytest.mark.parametrize("name", SENSORS)
def test_schedule_keeps_the_rate_with_jitter_and_the_rhythm_over_a_restart(name: str) -> None:
    rate_hz, epoch_ns = SENSORS[name].rate_hz, 1_700_000_000 * 10**9
    schedule = Schedule(name, rate_hz, epoch_ns, seed=1)
    times = np.array([schedule.time_ns(number) for number in range(600)])
    period_ns = 1e9 / rate_hz
    gaps = np.diff(times) / period_ns
    assert times[0] >= epoch_ns - 0.1 * period_ns
    assert abs(gaps.mean() - 1.0) < 0.001
    assert 0.03 < gaps.std() < 0.08
    assert 0.8 <= gaps.min() < 0.95
    assert 1.05 < gaps.max() <= 1.2
    again = Schedule(name, rate_hz, epoch_ns, seed=1)
    number = again.first_after(int(times[100]) + 1)
    assert number in (101, 102)
    assert again.time_ns(number) == times[number]
