"""Modules that have moved into rooms can still be imported by their former addresses.

Other people's programs import these; the package itself does not. They go with 1.0.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_SENSING = "anymodal_seg_ros.sensing"
_INFERENCE = "anymodal_seg_ros.inference"

MOVED = (
    {
        f"{_SENSING}.{name}": f"{_SENSING}.{room}.{name}"
        for room, names in {
            "decoding": ("camera_formats", "decode", "encodings", "point_clouds"),
            "health": ("content_checks", "watchdog"),
            "sync": ("message_filter", "synchronizer"),
            "geometry": (
                "alignment",
                "calibration",
                "camera_info",
                "cameras",
                "registration",
                "rig_geometry",
            ),
        }.items()
        for name in names
    }
    | {
        f"{_SENSING}.events.{name}": f"{_SENSING}.events.{now}"
        for now, names in {
            "windows": ("accumulator", "stream"),
            "values": ("window",),
            "messages": ("clouds", "packets"),
            "evt": ("evt2", "evt3"),
            "packet_encodings": ("words",),
        }.items()
        for name in names
    }
    | {
        f"{_INFERENCE}.{name}": f"{_INFERENCE}.{room}.{name}"
        for room, names in {
            "auto": ("choice", "choice_memory", "trial"),
            "hardware": ("gpu", "machine", "processors", "telemetry"),
            "masks": ("argmax", "labelled_cloud", "legend", "visualize"),
            "runtimes": ("onnxruntime_engine", "openvino_engine", "providers", "torch_engine"),
            "verification": ("contract", "one_training", "self_test"),
        }.items()
        for name in names
    }
)
"""Former full names of modules, and where they are now."""


class _FormerAddress(MetaPathFinder, Loader):
    """Finds a module under its former name, and says where it is now."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module of its own: the real one shall keep its name and spec."""
        now = MOVED[module.__name__]
        words = f"{module.__name__} is now {now}; the former address goes with 1.0"
        warnings.warn(words, DeprecationWarning, stacklevel=2)
        real = vars(importlib.import_module(now))
        module.__dict__.update({k: v for k, v in real.items() if not k.startswith("__")})


def keep_former_addresses() -> None:
    """Let the former addresses be found."""
    if not any(isinstance(finder, _FormerAddress) for finder in sys.meta_path):
        sys.meta_path.append(_FormerAddress())
