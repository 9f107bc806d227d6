from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.scored_bags import mask_record

from anymodal_seg_ros.evaluation.scorecard import record_blocks
from anymodal_seg_ros.evaluation.scorecard.record_blocks import BLOCK, RecordBlocks
from anymodal_seg_ros.evaluation.scorecard.records import MaskRecord, to_line

LENGTH = 3 * BLOCK + 7


def records(length: int = LENGTH) -> list[MaskRecord]:
    counts = np.arange(6, dtype=np.int32).reshape(3, 2)
    return [mask_record(n / 10, overlap=counts + n, kept=(n, n + 1)) for n in range(length)]


def lines(found: Sequence[MaskRecord]) -> list[str]:
    return [to_line(record) for record in found]


@pytest.mark.parametrize("unpacked", [0, 2 * BLOCK, LENGTH + BLOCK])
def test_it_is_the_sequence_that_was_given(unpacked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_blocks, "UNPACKED", record_blocks._unpacked + unpacked)
    given = records()
    blocks = RecordBlocks(iter(given))
    assert len(blocks) == LENGTH
    assert lines(list(blocks)) == lines(given)
    for place in (0, BLOCK - 1, BLOCK, LENGTH - 1, -1, -LENGTH):
        assert to_line(blocks[place]) == to_line(given[place])
    assert lines(blocks[BLOCK - 2 : BLOCK + 2]) == lines(given[BLOCK - 2 : BLOCK + 2])
    for place in (LENGTH, -LENGTH - 1):
        with pytest.raises(IndexError, match=f"of {LENGTH}"):
            blocks[place]
    assert len(RecordBlocks([])) == 0


def test_what_is_unpacked_is_limited_for_all_together_and_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gc.collect()
    before = record_blocks._unpacked
    monkeypatch.setattr(record_blocks, "UNPACKED", before + 2 * BLOCK)
    first, second = RecordBlocks(records()), RecordBlocks(records())
    assert record_blocks._unpacked == before + 2 * BLOCK
    assert lines(list(second)) == lines(list(first))
    del first
    gc.collect()
    assert record_blocks._unpacked == before
