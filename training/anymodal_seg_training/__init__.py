"""Trains, evaluates and exports any-modal segmentation networks; never installed on a robot."""

import anymodal_seg_ros  # noqa: F401  keeps libraries from reporting their use

__version__ = "0.1.0"
