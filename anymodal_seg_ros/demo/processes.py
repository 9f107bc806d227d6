"""The processes of the demo: output into files, killed at will, never left over."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from anymodal_seg_ros.errors import AnymodalError

_STOP_S = 10.0

_LAST_LINES = 12
"""Of the log of a process that ended, which are told."""


class Processes:
    """Python modules running as processes of their own. Use as a context manager."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        """Set up; every process will write to a file in ``logs``."""
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._files.close()

    def start(self, name: str, module: str, arguments: Sequence[str], niceness: int = 0) -> None:
        """Start ``python -m module`` under a name.

        Args:
            name: for its log and for :meth:`kill`.
            module: to run.
            arguments: of the module.
            niceness: how far it stands behind for the cores, 0 to 19.
        """
        log = self._files.enter_context((self._logs / f"{name}.log").open("ab"))
        self._running[name] = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if niceness:
            os.setpriority(os.PRIO_PROCESS, self._running[name].pid, niceness)

    def kill(self, name: str) -> None:
        """Kill a process as a pulled cable would: at once, with no word to anybody."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise if a process that should be running has ended.

        Raises:
            AnymodalError: with the end of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                raise AnymodalError(
                    f"the process {name!r} ended with exit code {process.returncode}; "
                    f"its last words:\n{self._last_words(name)}"
                )

    def _last_words(self, name: str) -> str:
        text = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_LAST_LINES:]) or "(nothing)"
