"""What killed processes leave in /dev/shm: Fast DDS segments that nobody has open any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def swept_shared_memory() -> Iterator[None]:
    """Remove the segments that appear while the body runs and that nobody uses after it.

    A killed process cannot remove its segment of 32 MB, and Fast DDS never does it for the dead.
    What was there before, or is still mapped by any process of this user, is left alone.
    """
    before = _segments()
    try:
        yield
    finally:
        appeared = _segments() - before
        used = _mapped() if appeared else set()
        for path in appeared:
            # NAME_el is the lock of NAME; it is never mapped itself.
            if path not in used and path.with_name(path.name.removesuffix("_el")) not in used:
                with contextlib.suppress(OSError):
                    path.unlink()


def _segments() -> set[Path]:
    return {
        path for pattern in ("fastdds_*", "fastrtps_*") for path in _SHARED_MEMORY.glob(pattern)
    }


def _mapped() -> set[Path]:
    """Return the files in shared memory that a process of this user has mapped."""
    mapped: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            lines = maps.read_text(errors="replace").splitlines()
            mapped |= {Path(line.split()[-1]) for line in lines if str(_SHARED_MEMORY) in line}
    return mapped
