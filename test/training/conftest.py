from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from fixtures.tiny_training import CLASSES, tiny_frames

from anymodal_seg_training.runs.loop import Frames


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Prepared frames of the tiny data set."""
    root = tmp_path_factory.mktemp("frames")
    return Frames(
        tiny_frames(root, "train"),
        tiny_frames(root, "validation"),
        tuple(spec.name for spec in CLASSES),
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over several threads may differ in the last bit from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
