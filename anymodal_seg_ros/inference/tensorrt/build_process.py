"""``python -m anymodal_seg_ros.inference.tensorrt.build_process``: builds the plans of a model.

A process of its own, so that a build may fail, hang, crash or be killed for its memory while
another process serves. It is started by
:class:`~anymodal_seg_ros.inference.tensorrt.background.BackgroundBuild` with a request on its
command line, tells how far it is on stdout, one JSON object a line, and gives up when its stdin
ends, which it does when whoever started it is gone, in whatever way; or when it is told to by
SIGINT or SIGTERM, as systemd tells all processes of a service.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from anymodal_seg_ros.errors import AnymodalError, EngineError, ModelError
from anymodal_seg_ros.inference.auto.trial import mask_ms
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.tensorrt.builder import BuildCancelledError, build_plan
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.graphs import Form, GraphSpec, forms_of
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries, load_libraries
from anymodal_seg_ros.inference.tensorrt.locks import LockedError, build_held
from anymodal_seg_ros.inference.tensorrt.offload import OFFLOADS, keep_fastest
from anymodal_seg_ros.inference.tensorrt.proof import check_provable, proven
from anymodal_seg_ros.inference.tensorrt.service_record import ServiceRecord

GRACE_S = 20.0
"""Time that a cancelled build has to come to the end of its step, before the process just ends."""

_NICER = 10
_FIRST_TO_DIE = "1000"
"""Of /proc/self/oom_score_adj: where memory runs out, the build goes and not the robot."""

Send = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to build.

    Attributes:
        model: path of the model folder.
        confidence: whether it shall be told how sure it is.
        cache: folder of the plans.
        rebuild: build also what there is.
    """

    model: str
    confidence: bool
    cache: str
    rebuild: bool = False

    def dumped(self) -> str:
        """Return it for a command line."""
        return json.dumps(asdict(self))


class _UselessFormError(EngineError):
    """TensorRT cannot build a form of a model, or what it built is wrong."""


class PlanBuilder:
    """Builds what a model lacks, and proves that it is right.

    Args:
        request: what to build.
        send: called with what there is to tell.
        cancelled: whether to give up.
    """

    def __init__(self, request: Request, send: Send, cancelled: Callable[[], bool]) -> None:
        self._send, self._cancelled = send, cancelled
        self._rebuild, self._confidence = request.rebuild, request.confidence
        self._cache = PlanCache(Path(request.cache))
        self._model: Model = load_model(request.model)
        check_provable(self._model)
        self._libraries: Libraries = load_libraries()
        self._forms = forms_of(self._model, request.confidence)
        self._graphs: Form = self._forms[0]

    def build(self) -> None:
        """Build and prove: in half precision if it can be had and is right, else in single.

        Raises:
            AnymodalError: it cannot be done, or was cancelled.
        """
        self._send({"event": "machine", "words": self._libraries.words})
        if not self._rebuild:
            self._graphs = self._cache.form(self._forms, self._libraries)
        for form in self._forms[self._forms.index(self._graphs) :]:
            self._graphs = form
            try:
                self._build_form()
                return
            except _UselessFormError as error:
                if form is self._forms[-1]:
                    raise
                self._drop()
                self._note(f"{error}; so single precision is built instead")

    def _build_form(self) -> None:
        """Build and prove one form, twice if what was in the cache proves to be of no use."""
        if self._forms[0] is self._forms[-1]:
            self._note(
                "the model folder has no graphs in half precision, and single takes longer: where "
                "models are trained, 'anymodal-train graphs FOLDER --fp16' writes them"
            )
        built = self._build_missing(self._rebuild)
        try:
            engine = self._prove()
        except _UselessFormError as error:
            if built == len(self._graphs):
                self._drop()
                raise
            self._note(f"what was built before is of no use ({error}): all is built anew")
            built = self._build_missing(True)
            try:
                engine = self._prove()
            except _UselessFormError:
                self._drop()
                raise
        for offload in OFFLOADS if built else ():
            of = (self._model, self._libraries, self._cache, self._cancelled)
            self._note(keep_fastest(offload, engine, *of))

    def _build_missing(self, all_of_them: bool) -> int:
        """Build what is not in the cache, or damaged. Returns how many were built."""
        missing = [graph for graph in self._graphs if all_of_them or not self._has(graph)]
        total = sum(len(graph.content) for graph in missing)
        done = 0.0
        for graph in missing:
            weight = len(graph.content) / total
            self._build(graph, done, weight)
            done += weight
        return len(missing)

    def _build(self, graph: GraphSpec, done: float, weight: float) -> None:
        def tell(share: float, phase: str) -> None:
            self._send(
                {
                    "event": "progress",
                    "percent": round(100 * (done + weight * share), 1),
                    "phase": f"{graph.role}: {phase}",
                }
            )

        tell(0.0, "reading the graph")
        started = time.monotonic()
        try:
            plan = build_plan(graph, self._libraries, self._cache, tell, self._cancelled)
        except BuildCancelledError:
            raise
        except EngineError as error:
            raise _UselessFormError(str(error)) from error
        key = plan_key(graph, self._libraries)
        ServiceRecord(self._cache.path(key)).forget()
        self._cache.keep(
            key,
            plan,
            model=f"{self._model.manifest.name} {self._model.manifest.version}",
            build_s=round(time.monotonic() - started, 1),
            machine=self._libraries.words,
        )

    def _has(self, graph: GraphSpec) -> bool:
        try:
            return self._cache.find(plan_key(graph, self._libraries)) is not None
        except EngineError as error:
            self._note(f"{error}: it is built anew")
            return False

    def _prove(self) -> TensorRtEngine:
        """Run the plans here, where a crash hurts nobody, and hold them to the self-test."""
        self._send({"event": "testing"})
        try:
            engine = TensorRtEngine(self._model, self._confidence, self._cache, self._libraries)
            words = proven(engine, self._model)
        except (EngineError, ModelError) as error:
            raise _UselessFormError(str(error)) from error
        self._note(f"{mask_ms(engine, self._model):.1f} ms a mask of all sensors; {words}")
        return engine

    def _drop(self) -> None:
        around = [offload.graphs(self._model.manifest).values() for offload in OFFLOADS]
        for graph in chain(self._graphs, *around):
            self._cache.drop(plan_key(graph, self._libraries))

    def _note(self, text: str) -> None:
        self._send({"event": "note", "text": text})


@contextlib.contextmanager
def alone(folder: Path, cancelled: Callable[[], bool], send: Send) -> Iterator[None]:
    """Let only one build run on this machine at a time, as memory may not suffice for two.

    Raises:
        BuildCancelledError: while it waited for its turn.
    """
    told = False

    def keep_waiting() -> bool:
        nonlocal told
        if not told:
            send({"event": "waiting"})
        told = True
        return not cancelled()

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(build_held(folder, keep_waiting))
        except LockedError as error:
            raise BuildCancelledError("cancelled while another build was running") from error
        yield


def main() -> int:
    """Build what the command line asks for; 0 done, 1 failed, 2 cancelled."""
    request = Request(**json.loads(sys.argv[1]))
    cancel = threading.Event()
    talking = threading.Lock()

    def send(news: Mapping[str, Any]) -> None:
        with talking, contextlib.suppress(BrokenPipeError):
            print(json.dumps(news), flush=True)

    _be_modest()
    for end in (sys.stdin.fileno(), _told_to_end()):
        threading.Thread(target=_give_up_after, args=(end, cancel), daemon=True).start()
    try:
        with alone(Path(request.cache), cancel.is_set, send):
            PlanBuilder(request, send, cancel.is_set).build()
    except BuildCancelledError:
        send({"event": "cancelled"})
        return 2
    except AnymodalError as error:
        send({"event": "failed", "reason": str(error)})
        return 1
    send({"event": "done"})
    return 0


def _give_up_after(descriptor: int, cancel: threading.Event) -> None:
    """Cancel when something ends or arrives there; end the process when that takes too long."""
    os.read(descriptor, 1)
    cancel.set()
    time.sleep(GRACE_S)
    os._exit(2)


def _told_to_end() -> int:
    """Return where a byte arrives when a signal does.

    TensorRT computes in the main thread for minutes; what Python does about a signal waits for it.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    return told


def _be_modest() -> None:
    """Leave processor and memory to those who serve."""
    os.nice(_NICER)
    with contextlib.suppress(OSError):  # not everywhere may one say so
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_DIE)


if __name__ == "__main__":
    sys.exit(main())
