"""Semantic masks from whatever cameras are alive: one network, every subset of sensors."""

__version__ = "0.1.0"
