"""Workers must not outlive what started them, not even where nothing could tell them so."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import itertools, os
from anymodal_seg_ros.simulation.workers import in_parallel
if __name__ == "__main__":
    for number in in_parallel(abs, itertools.count(), workers=2):
        print(number, flush=True)
        os.kill(os.getpid(), 9)
"""


STOPPED = """
import signal, threading, time
from anymodal_seg_ros.simulation.workers import in_parallel
if __name__ == "__main__":
    # What a shell runs in the background ignores it from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in in_parallel(time.sleep, [0.0, *[600.0] * 9], workers=2):
        signal.raise_signal(signal.SIGINT)
"""


def test_a_program_that_is_told_to_end_waits_for_no_work_that_is_under_way() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, timeout=100)
    assert done.returncode != 0 and b"KeyboardInterrupt" in done.stderr


def test_workers_end_with_a_program_that_is_killed() -> None:
    # What a pipe is read from ends when the last of those who may write into it has ended.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True)
    assert done.stdout == b"0\n" and done.returncode == -9
