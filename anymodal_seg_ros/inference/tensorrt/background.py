"""A build beside other work: in a process of its own, watched, limited and cancelled from here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from anymodal_seg_ros.inference.tensorrt.build_process import GRACE_S, Request
from anymodal_seg_ros.inference.tensorrt.locks import is_building

MODULE = "anymodal_seg_ros.inference.tensorrt.build_process"

TIMEOUT_S = 1800.0
"""A build that takes longer does not come to an end; on an Orin Nano some minutes are usual."""

RESERVE_MB = 300
"""Memory that the machine keeps for others: below it a build is ended, whatever its own limit."""

_LOOK_AGAIN_S = 0.25
_LOG_TAIL = 300

WAITING, BUILDING, TESTING = "waiting", "building", "testing"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What a build may take.

    Attributes:
        timeout_s: time, in s.
        memory_mb: resident memory of its process, in MB; 0 means three quarters of what is free
            when it starts.
    """

    timeout_s: float = TIMEOUT_S
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """How a build is going.

    Attributes:
        state: ``waiting`` for another build, ``building``, ``testing``, or how it ended: ``done``,
            ``failed``, ``cancelled``.
        percent: of the plans that have to be built, 0 to 100.
        phase: what is being done, mostly in TensorRT's words.
        seconds: since it began.
        reason: why it failed, in words with the mend; empty if it did not.
        notes: what else there was to tell, the oldest first.
    """

    state: str = BUILDING
    percent: float = 0.0
    phase: str = ""
    seconds: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in (DONE, FAILED, CANCELLED)


class BackgroundBuild:
    """Builds the plans of a model in another process.

    Args:
        request: what to build.
        limits: what it may take.
        changed: called with every change, in a thread of this object; the last one has ended.
    """

    def __init__(
        self,
        request: Request,
        limits: BuildLimits | None = None,
        changed: Callable[[BuildStatus], None] = lambda status: None,
    ) -> None:
        self._request, self._limits = request, limits or BuildLimits()
        self._changed = changed
        self._lock = threading.Lock()
        self._status = BuildStatus()
        self._started = time.monotonic()
        self._cancelled = False
        self._watcher: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._log = Path(request.cache) / "build.log"

    @property
    def status(self) -> BuildStatus:
        """How it is going now."""
        status = self._status
        return status if status.ended else replace(status, seconds=self._seconds())

    def start(self) -> None:
        """Begin; where the process cannot be started, it has failed."""
        self._started = time.monotonic()
        try:
            folder = Path(self._request.cache)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Another node's build, for which this one waits, may still have something to say.
            with self._log.open("ab" if is_building(folder) else "wb") as log:
                self._log.chmod(0o600)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", MODULE, self._request.dumped()],
                    stdin=subprocess.PIPE,  # its end is the word to give up
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # Ctrl-C is for us, who then cancel
                )
        except OSError as error:
            reason = (
                f"a build cannot be started: {error}; its files go to {self._request.cache}: "
                "point XDG_CACHE_HOME to a folder that can be written"
            )
            self._update(state=FAILED, reason=reason)
            return
        self._watcher = threading.Thread(target=self._watch, name="engine build", daemon=True)
        self._watcher.start()

    def cancel(self, wait_s: float = 2.0) -> None:
        """Give up; what was timed so far is kept for the next time. May be called at any time.

        Args:
            wait_s: how long to wait for the build to come to the end of its step, before it is
                killed. A step may take seconds.
        """
        self._cancelled = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._kill()
        self.wait(GRACE_S)

    def wait(self, timeout_s: float | None = None) -> BuildStatus:
        """Wait for the end, and return how it is going then."""
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(timeout_s)
        return self.status

    def _watch(self) -> None:
        """Follow the process to its end."""
        process = self._process
        assert process is not None and process.stdout is not None
        reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        reader.start()
        limit_mb = self._limits.memory_mb or free_mb() * 3 // 4
        reason = ""
        while process.poll() is None:
            reason = reason or self._excess(process.pid, limit_mb)
            if reason:
                self._kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_AGAIN_S)
        reader.join()
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        process.stdout.close()
        self._end(process.returncode, reason)

    def _excess(self, pid: int, limit_mb: int) -> str:
        """Say what a build takes too much of, with the mend; empty if it does not."""
        if self._seconds() > self._limits.timeout_s:
            return (
                f"it was not done after {self._limits.timeout_s:g} s: raise build_timeout_s, or "
                "build with anymodal-seg build-engine while the machine does nothing else"
            )
        resident, free = resident_mb(pid), free_mb()
        mend = (
            "end other programs, add swap, or build with anymodal-seg build-engine before the "
            "robot's programs start"
        )
        if resident > limit_mb:
            return f"it took {resident} MB of memory, its limit is {limit_mb} MB: {mend}"
        if free < RESERVE_MB:
            return f"only {free} MB of memory were left for others: {mend}"
        return ""

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            try:
                news = json.loads(line)
            except ValueError:
                continue  # a library that prints to stdout
            if isinstance(news, dict):
                self._take(news)

    def _take(self, news: Mapping[str, Any]) -> None:
        event = news.get("event")
        if event == "progress":
            percent = float(news.get("percent", 0.0))
            self._update(state=BUILDING, percent=percent, phase=str(news.get("phase", "")))
        elif event == "testing":
            self._update(state=TESTING, percent=100.0, phase="held to the self-test")
        elif event == "waiting":
            self._update(state=WAITING, phase="another build is running on this machine")
        elif event in ("note", "machine"):
            text = str(news.get("text") or news.get("words") or "")
            self._update(notes=(*self._status.notes, text))
        elif event == "failed":
            self._update(reason=str(news.get("reason", "")))

    def _end(self, code: int, reason: str) -> None:
        seconds = self._seconds()
        if code == 0:
            self._update(state=DONE, percent=100.0, phase="", seconds=seconds)
        elif reason:
            self._update(state=FAILED, reason=reason, seconds=seconds)
        elif self._cancelled or code == 2:
            self._update(state=CANCELLED, seconds=seconds)
        else:
            told = self._status.reason or self._death(code)
            self._update(state=FAILED, reason=told, seconds=seconds)

    def _death(self, code: int) -> str:
        """Say how the process ended without a word of its own."""
        how = f"with exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                how += ", as the kernel does when memory runs out"
        tail = ""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            tail = f": {lines[-1][:_LOG_TAIL]}" if lines else ""
        return f"the build ended {how}{tail} (all it said is in {self._log})"

    def _update(self, **values: Any) -> None:
        with self._lock:
            self._status = replace(self._status, **{"seconds": self._seconds(), **values})
            status = self._status
        self._changed(status)

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def resident_mb(pid: int) -> int:
    """Return the resident memory of a process in MB, 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def free_mb() -> int:
    """Return the memory in MB that programs could still have; that of a Jetson's GPU is the same.

    Limits of the address space would not do: CUDA maps far more than it ever uses.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 30
    found = (int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:"))
    return next(found, 1 << 30)
