"""Cameras, calibrations and extrinsics; registration into the reference picture."""
