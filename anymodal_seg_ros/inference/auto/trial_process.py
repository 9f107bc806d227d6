"""``python -m anymodal_seg_ros.inference.auto.trial_process``: tries an engine out, as a process.

Started by :func:`~anymodal_seg_ros.inference.auto.trial.try_apart`, with what to try on its command
line.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import sys

from anymodal_seg_ros.inference.auto.trial import try_engine
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import load_model

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Try the engine that the arguments name, and print the :class:`EngineTrial` as JSON."""
    folder, kind, threads, confidence, providers, parent = arguments
    _end_with(int(parent))
    model = load_model(folder)

    def make(name: str) -> Engine:
        return create_engine(name, model, int(threads), confidence == "1", providers)

    trial = try_engine(kind, make, model)
    print(json.dumps(dataclasses.asdict(trial)))


def _end_with(parent: int) -> None:
    """Let the kernel end this process where the one that tries it out has been killed."""
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
