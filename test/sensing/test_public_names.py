"""What other programs may import from one address, and that it can be used without a rig."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anymodal_seg_ros import sensing
from anymodal_seg_ros.sensing import Fault, SensorLimits, SensorState, Watchdog


def test_the_page_lists_every_public_name_and_no_other(project_root: Path) -> None:
    page = (project_root / "docs" / "reference" / "sensing-api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == sensing.__all__


def test_every_public_name_is_there_and_described() -> None:
    assert sorted(sensing.__all__) == sensing.__all__ == dir(sensing)
    for name in sensing.__all__:
        found = getattr(sensing, name)
        assert found.__name__ == name
        assert found.__doc__, f"{name} has no docstring"


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"sensing' has no attribute 'decode_picture'"):
        sensing.decode_picture  # noqa: B018
    with pytest.raises(ImportError):
        from anymodal_seg_ros.sensing import decode_picture  # noqa: F401


def test_a_stream_is_watched_by_its_limits_alone() -> None:
    limits = SensorLimits(expected_hz=10.0, recover_frames=2, fault_frames=1)
    watchdog = Watchdog({"scan": limits}, startup_grace_ns=1_000_000_000)
    watchdog.observe("scan", 0)
    assert watchdog.states()["scan"] is SensorState.OK
    watchdog.update(limits.late_after_ns)
    assert watchdog.states()["scan"] is SensorState.LATE
    watchdog.update(limits.stale_after_ns)
    assert watchdog.states()["scan"] is SensorState.STALE
    for k in range(3):  # the first one ends the outage, its gap says nothing
        watchdog.observe("scan", 10**9 + k * limits.period_ns)
    assert watchdog.states()["scan"] is SensorState.OK
    watchdog.observe("scan", 2 * 10**9, Fault(SensorState.INVALID, "no returns"))
    assert watchdog.status("scan", 2 * 10**9).fault == "no returns"
