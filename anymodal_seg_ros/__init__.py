"""Semantic masks from whatever cameras are alive: one network, every subset of sensors."""

from anymodal_seg_ros.usage_reports import silence_usage_reports

__version__ = "0.1.0"

silence_usage_reports()  # here, because it must come before whoever imports a library that reports
