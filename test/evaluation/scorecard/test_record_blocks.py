from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.figures.figures import FIGURES, measure
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.runs import record_blocks
from anymodal_seg_ros.evaluation.scorecard.runs.record_blocks import BLOCK, RecordBlocks
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord, from_line, to_line

LENGTH = 3 * BLOCK + 7


def records(length: int = LENGTH) -> list[MaskRecord]:
    """As they are read from a file."""
    counts = np.arange(6, dtype=np.int32).reshape(3, 2)
    made = [mask_record(n / 10, overlap=counts + n, kept=(n, n + 1)) for n in range(length)]
    return [from_line(to_line(record)) for record in made]


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


@pytest.mark.usefixtures("young_heap")
def test_what_is_unpacked_is_limited_for_all_together_and_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = record_blocks._unpacked
    monkeypatch.setattr(record_blocks, "UNPACKED", before + 2 * BLOCK)
    first, second = RecordBlocks(records()), RecordBlocks(records())
    assert record_blocks._unpacked == before + 2 * BLOCK
    assert lines(list(second)) == lines(list(first))
    del first
    gc.collect()
    assert record_blocks._unpacked == before


class Streamed(Sequence[MaskRecord]):
    """Records that are made when they are asked for, as those of a long run are unpacked."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: Any) -> Any:
        return self._made(index)

    def __iter__(self) -> Iterator[MaskRecord]:
        return map(self._made, range(self._number))

    @staticmethod
    def _made(number: int) -> MaskRecord:
        counts = np.ones((3, 200), np.int64)
        kept = (number % 100, 100)
        return mask_record(number / 10, overlap=counts, boundary=counts, kept=kept, stable=kept)


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_holds_all_records_at_once(name: str) -> None:
    run = made_run([], length_s=200.0)
    run.__dict__["records"] = Streamed(2000)
    where = Selection(sensor="rgb", state="OK") if name == "time_in_state" else Selection()
    tracemalloc.start()
    try:
        measure(name, [run], where)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    held = 2000 * 2 * 3 * 200 * 8  # bytes of their counts alone
    assert peak < held / 10
