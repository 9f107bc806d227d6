"""What is left of progress bars where nobody looks at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from anymodal_seg_training.runs import display
from anymodal_seg_training.runs.display import EVERY_S, Display


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the display believes it is."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_what_is_quick_takes_one_line_of_a_log(seconds: list[float]) -> None:
    text = io.StringIO()
    with Display(Console(file=text)) as shown:
        for split in ("train", "val"):
            for done in range(1, 1001):
                shown.advance(f"checking {split}", done, 1000)
    assert text.getvalue().splitlines() == [
        "checking train: 1000/1000",
        "checking val: 1000/1000",
    ]


def test_what_takes_long_is_told_now_and_then_and_at_most_twenty_times(
    seconds: list[float],
) -> None:
    text = io.StringIO()
    with Display(Console(file=text)) as shown:
        for done in range(1, 1001):
            seconds[0] += EVERY_S
            shown.advance("epoch 3", done, 1000, f"loss {1 / done:.2f}")
    lines = text.getvalue().splitlines()
    assert lines[0] == "epoch 3: 1/1000 loss 1.00" and lines[-1] == "epoch 3: 1000/1000 loss 0.00"
    assert len(lines) == 21
