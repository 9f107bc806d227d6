"""TensorRT takes over from the engine that serves: when its plans are built and proven, not before.

Whoever serves masks holds a :class:`Takeover` and asks it for nothing but its status.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.serving import ServingEngine
from anymodal_seg_ros.inference.tensorrt.background import (
    DONE,
    FAILED,
    BackgroundBuild,
    BuildLimits,
    BuildStatus,
)
from anymodal_seg_ros.inference.tensorrt.build_process import Request
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import NotBuiltError, TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.graphs import forms_of
from anymodal_seg_ros.inference.tensorrt.libraries import lack, load_libraries
from anymodal_seg_ros.inference.tensorrt.proof import check_provable, proven
from anymodal_seg_ros.inference.tensorrt.service_record import ServiceRecord

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TakeoverStatus:
    """Who serves, and whether TensorRT will.

    Attributes:
        engine: that serves.
        build: how the build is going; None if there is none.
        replaced: why TensorRT does not serve any more, or not at all although it is built; empty
            while nothing of the kind happened.
    """

    engine: str
    build: BuildStatus | None
    replaced: str


class Takeover:
    """An engine that serves at once, and TensorRT as soon as it can.

    Args:
        model: an opened model folder.
        confidence: whether it shall be told how sure it is.
        others: makes the best engine but TensorRT.
        limits: of a build.
        tell: called with lines of text for a log.
    """

    def __init__(
        self,
        model: Model,
        confidence: bool,
        others: Callable[[], Engine],
        limits: BuildLimits | None = None,
        tell: Tell = lambda line: None,
    ) -> None:
        self._model, self._confidence, self._others = model, confidence, others
        self._limits, self._tell = limits, tell
        self._cache = PlanCache()
        self._lock = threading.Lock()
        self._build: BackgroundBuild | None = None
        self._wanted = False
        self._record = self._record_now()
        self._unfit = self._record.unfit()
        self.engine = self._first()

    def start(self) -> None:
        """Begin to build, unless TensorRT serves already or a build has failed before."""
        with self._lock:
            if isinstance(self.engine.serving, TensorRtEngine):
                self._record.begin()
                return
            if self.engine.replaced or self._unfit:
                return
            if self._build is not None and self._build.status.state == FAILED:
                return
            self._wanted = True
            request = Request(str(self._model.folder), self._confidence, str(self._cache.folder))
            self._tell(
                f"TensorRT is being built for this machine; {self.engine.name} serves meanwhile"
            )
            self._build = BackgroundBuild(request, self._limits, self._build_changed)
            self._build.start()

    def cancel(self, orderly: bool = True) -> None:
        """Give a build up; what it has timed is kept. May be called at any time.

        Args:
            orderly: whether who serves stops because it was told to, and not because it hangs.
        """
        if orderly:
            self._record.end()
        with self._lock:
            self._wanted = False
            build = self._build
        if build is not None and not build.status.ended:
            build.cancel()

    def wait(self) -> BuildStatus:
        """Wait for the end of a build, and for TensorRT to take over after it."""
        return BuildStatus(DONE, 100.0) if self._build is None else self._build.wait()

    @property
    def status(self) -> TakeoverStatus:
        """Who serves now, and how the build is going."""
        build = self._build
        return TakeoverStatus(
            self.engine.name,
            None if build is None else build.status,
            self.engine.replaced or self._unfit,
        )

    def _first(self) -> ServingEngine:
        """Return TensorRT if its plans are here and right, else another engine."""
        check_provable(self._model)
        if self._unfit:
            self._tell(self._unfit)
            return ServingEngine(self._others(), None, self._tell)
        try:
            engine = self._proven()
        except NotBuiltError as error:
            self._tell(str(error))
        except AnymodalError as error:
            self._tell(f"the plans of TensorRT are of no use ({error}): they are built anew")
        else:
            return ServingEngine(engine, self._instead, self._tell)
        return ServingEngine(self._others(), None, self._tell)

    def _record_now(self) -> ServiceRecord:
        """Return the record of the plans that there are; a build may have made others."""
        libraries = load_libraries()
        *_, last = self._cache.form(forms_of(self._model, self._confidence), libraries)
        return ServiceRecord(self._cache.path(plan_key(last, libraries)))

    def _proven(self) -> TensorRtEngine:
        self._record = self._record_now()
        self._record.begin()  # to load it may end the process, too
        try:
            engine = TensorRtEngine(self._model, self._confidence, self._cache)
            proven(engine, self._model)
        except AnymodalError:
            self._record.end()  # whatever ends this process now, TensorRT does not serve in it
            raise
        return engine

    def _instead(self) -> Engine:
        """Return the engine that serves from now on, because TensorRT has failed."""
        engine = self._others()
        self._record.end()  # not before: to make another one may take longer than is waited for
        return engine

    def _build_changed(self, status: BuildStatus) -> None:
        """Take note of a change; in the thread that watches the build."""
        if status.state == FAILED:
            self._tell(
                f"TensorRT could not be built: {status.reason}; {self.engine.name} goes on serving"
            )
        if status.state != DONE or not self._wanted:
            return
        engine = None
        try:
            engine = self._proven()
            if self._wanted:
                self.engine.replace(engine, self._instead)
        except AnymodalError as error:
            self._tell(f"TensorRT was built but does not serve: {error}")
        if self.engine.serving is not engine:  # given up meanwhile, maybe
            self._record.end()


def wanted(kind: str, model: Model) -> bool:
    """Whether TensorRT is to serve, by what ``engine`` is set to and what there is on this machine.

    Raises:
        ConfigError: it was asked for by name, and cannot be had.
    """
    if kind not in ("auto", "tensorrt"):
        return False
    reason = lack()
    if not reason:
        try:
            check_provable(model)
        except AnymodalError as error:
            reason = str(error)
    if reason and kind == "tensorrt":
        raise ConfigError(f"engine is 'tensorrt', but {reason}")
    return not reason
