"""Libraries that report their use over the network are told not to: a robot does not phone home."""

from __future__ import annotations

import sys

REPORTERS = ("openvino_telemetry",)
"""What sends the reports; who asks for them goes on without.

OpenVINO sends one, to an analytics service, each time that it is imported, unless the user has
declined before. Where its reporter cannot be imported it uses a stub of its own.
"""


def silence_usage_reports() -> None:
    """Let the reporters not be found. To be called before the libraries are imported."""
    for name in REPORTERS:
        # An entry of None makes an import fail as if nothing were installed.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
