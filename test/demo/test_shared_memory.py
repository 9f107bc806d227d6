from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from anymodal_seg_ros.demo.shared_memory import swept_shared_memory

SHM = Path("/dev/shm")


@pytest.mark.skipif(not SHM.is_dir(), reason="no /dev/shm on this system")
def test_only_new_segments_that_nobody_maps_are_removed() -> None:
    old, left, used = (SHM / f"fastdds_test{os.getpid()}{name}" for name in ("old", "left", "used"))
    old.write_bytes(b"x")
    try:
        with swept_shared_memory():
            left.write_bytes(b"x" * 4096)
            used.write_bytes(b"x" * 4096)
            with used.open("r+b") as file:
                mapping = mmap.mmap(file.fileno(), 4096)
        assert old.exists()
        assert used.exists()
        assert not left.exists()
        mapping.close()
    finally:
        for path in (old, left, used):
            path.unlink(missing_ok=True)
