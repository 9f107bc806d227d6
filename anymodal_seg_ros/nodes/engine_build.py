"""TensorRT in the node: another engine serves while its plans are built, and gives way then."""

from __future__ import annotations

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.engines import choose_engine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.tensorrt.background import CANCELLED, DONE, FAILED, BuildLimits
from anymodal_seg_ros.inference.tensorrt.engine import UNVERIFIED
from anymodal_seg_ros.inference.tensorrt.takeover import Takeover, TakeoverStatus, wanted

_STEP_PERCENT = 10
_POLL_S = 0.2


class EngineBuild:
    """What the node does about TensorRT: nothing, where it is not wanted or cannot be had.

    Args:
        node: whose log is written to, and whose name the status carries.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._takeover: Takeover | None = None

    def serve(self, config: SegConfig, model: Model) -> Engine | None:
        """Return the engine that serves first; None if it is to be made as for everybody else.

        Raises:
            ConfigError: TensorRT was asked for by name, and cannot be had here.
        """
        self.let_go()
        if not wanted(config.engine, model):
            return None
        self._takeover = Takeover(
            model,
            config.confidence,
            lambda: _best_other(config, model),
            BuildLimits(config.build_timeout_s, config.build_memory_mb),
            lambda line: self._node.get_logger().info(one_line(line)),
        )
        self._node.get_logger().info(UNVERIFIED)
        return self._takeover.engine

    def start(self) -> None:
        """Begin to build what is missing."""
        if self._takeover is not None:
            self._takeover.start()

    def cancel(self, orderly: bool = True) -> None:
        """Give up a build; what it has timed is kept for the next one.

        Args:
            orderly: whether the node stops because it was told to, and not because it is broken.
        """
        if self._takeover is not None:
            self._takeover.cancel(orderly)

    def let_go(self) -> None:
        """Forget the engine."""
        self.cancel()
        self._takeover = None

    def build(self, stop: threading.Event) -> bool:
        """Build and wait, for ``--build-only``; False if it failed or ``stop`` was set."""
        takeover = self._takeover
        if takeover is None:
            return True
        takeover.start()
        told = 0.0
        while (build := takeover.status.build) is not None and not build.ended:
            if build.percent >= told + _STEP_PERCENT:
                told = build.percent
                self._node.get_logger().info(f"{build.percent:.0f} %: {one_line(build.phase)}")
            if stop.wait(_POLL_S):
                takeover.cancel()
        return build is None or takeover.wait().state == DONE

    def statuses(self) -> list[Any]:
        """Return what ``/diagnostics`` says of it: nothing where TensorRT is not wanted."""
        if self._takeover is None:
            return []
        name = str(self._node.get_fully_qualified_name()).lstrip("/")
        return [_status(name, self._takeover.status)]


def _best_other(config: SegConfig, model: Model) -> Engine:
    """Return the best engine but TensorRT."""
    return choose_engine(
        model, config.threads, config.confidence, config.providers, but="tensorrt"
    ).engine


def _status(node: str, status: TakeoverStatus) -> Any:
    build, level = status.build, DiagnosticStatus.OK
    message = f"{status.engine} serves"
    if status.replaced:
        level, message = DiagnosticStatus.WARN, f"{message}: {status.replaced}"
    elif build is not None and build.state == FAILED:
        level, message = DiagnosticStatus.WARN, f"{message}: no TensorRT, {build.reason}"
    elif build is not None and not build.ended:
        message += f" while TensorRT is being built: {build.percent:.0f} %, {build.phase}"
    elif build is not None and build.state == CANCELLED:
        message += "; the build of TensorRT was cancelled"
    values = {"engine": status.engine, "replaced": status.replaced, "verified": UNVERIFIED}
    if build is not None:
        values |= {
            "build": build.state,
            "build_percent": f"{build.percent:.1f}",
            "build_phase": build.phase,
            "build_s": f"{build.seconds:.0f}",
            "build_failure": build.reason,
            "build_notes": "; ".join(build.notes),
        }
    pairs = [KeyValue(key=key, value=one_line(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=f"{node}: engine", message=one_line(message), values=pairs
    )
