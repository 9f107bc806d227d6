"""Libraries that report their use over the network are told not to: a robot does not phone home."""

from __future__ import annotations

import os
import sys

SWITCHES = {"ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables that switch reporters off; what the user has set stays.

ONNX Runtime from 1.29 on writes an identity of the device into the user's cache as soon as it is
imported, and sends names and hashes of models and graphs to its maker.
"""

REPORTERS = ("openvino_telemetry",)
"""What sends the reports; who asks for them goes on without.

OpenVINO sends one, to an analytics service, each time that it is imported, unless the user has
declined before. Where its reporter cannot be imported it uses a stub of its own.
"""


def silence_usage_reports() -> None:
    """Switch reporters off, or let them not be found. To be called before any is imported."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    for name in REPORTERS:
        # An entry of None makes an import fail as if nothing were installed.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
