"""The process settings for images on DDS; none of it needs ROS."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from anymodal_seg_ros.nodes.environment import dds_environment
from anymodal_seg_ros.resources import config_dir

PROFILE_VARIABLES = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}


def test_adds_the_profile_and_the_malloc_thresholds() -> None:
    added = dds_environment({})
    (variable,) = set(added) & PROFILE_VARIABLES
    profile = ET.parse(added[variable]).getroot()
    sizes = [int(e.text or 0) for e in profile.iter() if e.tag.endswith("segment_size")]
    assert sizes == [32 << 20]
    # Where the queue is full, what is small is lost with the images: a service then takes seconds.
    queues = [int(e.text or 0) for e in profile.iter() if e.tag.endswith("port_queue_capacity")]
    assert queues == [8192]
    # A third of it is slept in whichever thread sends to a newcomer first, that of images included.
    checks = [
        int(e.text or 0) for e in profile.iter() if e.tag.endswith("healthy_check_timeout_ms")
    ]
    assert checks == [300], "at a second, any tool that is started costs masks"
    assert {k for k in added if k.startswith("MALLOC")} == {
        "MALLOC_MMAP_THRESHOLD_",
        "MALLOC_TRIM_THRESHOLD_",
    }


@pytest.mark.parametrize(
    ("rclpy", "variable", "profile"),
    [
        ("3.3.13", "FASTRTPS", "fastdds.xml"),
        ("7.1.4", "FASTRTPS", "fastdds.xml"),
        ("9.1.2", "FASTDDS", "fastdds3.xml"),
        ("10.0.0", "FASTDDS", "fastdds3.xml"),
    ],
)
def test_each_fast_dds_gets_a_profile_that_it_can_read(
    monkeypatch: pytest.MonkeyPatch, rclpy: str, variable: str, profile: str
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: rclpy)
    added = dds_environment({})
    assert Path(added[f"{variable}_DEFAULT_PROFILES_FILE"]).name == profile


def test_the_profiles_differ_in_how_a_process_is_announced_alone() -> None:
    """Announced by the thread that is about to receive, it misses the answers every other time."""
    both, third = (
        ET.parse(config_dir() / name).getroot() for name in ("fastdds.xml", "fastdds3.xml")
    )
    (rtps,) = (element for element in third.iter() if element.tag.endswith("}rtps"))
    (announced,) = (e for e in rtps if e.tag.endswith("flow_controller_descriptor_list"))
    rtps.remove(announced)
    found = [[(e.tag, (e.text or "").strip()) for e in root.iter()] for root in (both, third)]
    assert found[0] == found[1]


@pytest.mark.parametrize("variable", [*sorted(PROFILE_VARIABLES), "FASTDDS_BUILTIN_TRANSPORTS"])
def test_leaves_the_users_own_transport_alone(variable: str) -> None:
    added = dds_environment({variable: "mine"})
    assert not set(added) & PROFILE_VARIABLES


def test_adds_nothing_twice() -> None:
    assert dds_environment(dds_environment({})) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_prepared_process_keeps_freed_memory(tmp_path: Path) -> None:
    """Freed and allocated again, a buffer of an image's size costs no page faults."""
    program = (
        "import resource, sys\n"
        "if sys.argv[1] == 'prepared':\n"
        "    from anymodal_seg_ros.nodes.environment import prepare_process\n"
        "    prepare_process()\n"
        "bytearray(4_000_000)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): bytearray(4_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}

    def faults(mode: str) -> int:
        command = [sys.executable, "-c", program, mode]
        cwd = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, check=True)
        return int(done.stdout)

    assert faults("prepared") * 10 < faults("plain")
