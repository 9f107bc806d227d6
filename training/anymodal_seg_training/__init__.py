"""Trains, evaluates and exports any-modal segmentation networks; never installed on a robot."""

__version__ = "0.1.0"
