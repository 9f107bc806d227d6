"""How the coordinate frames of simulated sensors are called."""

from __future__ import annotations


def optical_frame(sensor: str) -> str:
    """Name of the frame of a sensor's images: x right, y down, z forward (REP 103)."""
    return f"{sensor}_optical_frame"


def cloud_frame(sensor: str) -> str:
    """Name of the frame of a LiDAR's points: x forward, y left, z up."""
    return f"{sensor}_frame"
