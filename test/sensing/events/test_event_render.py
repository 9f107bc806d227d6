from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.events import render
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.values import EventWindow

HEIGHT, WIDTH = 4, 5
START_NS, LENGTH_NS = 1_700_000_000_000_000_000, 33_000_000

EVENTS = st.lists(
    st.tuples(
        st.integers(0, LENGTH_NS - 1),
        st.integers(0, HEIGHT - 1),
        st.integers(0, WIDTH - 1),
        st.integers(0, 1),
    ),
    max_size=60,
)


def window(events: list[tuple[int, int, int, int]]) -> EventWindow:
    events = sorted(events)
    times = np.array([event[0] for event in events], np.int64) + START_NS
    cells = np.array([2 * (WIDTH * y + x) + on for _, y, x, on in events], np.uint32)
    return EventWindow(
        start_ns=START_NS,
        end_ns=START_NS + LENGTH_NS,
        frame_id="event_camera",
        height=HEIGHT,
        width=WIDTH,
        time_ns=times,
        cells=cells,
        complete=True,
    )


@given(EVENTS, st.sampled_from([3, 16_384]))
def test_the_image_holds_counts_and_recency(events: list[tuple], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "_BLOCK", block)
        image = render_image(window(events))
    assert (image.encoding, image.pixels.dtype, image.pixels.shape) == ("8UC3", np.uint8, (4, 5, 3))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            here = [event for event in events if event[1:3] == (y, x)]
            on = sum(event[3] for event in here)
            levels = [round(255 * (1 - math.exp(-n / 2))) for n in (on, len(here) - on)]
            assert image.pixels[y, x, :2].tolist() == levels
            last = max((event[0] for event in here), default=None)
            recency = 0.0 if last is None else 1 + 254 * last / LENGTH_NS
            assert abs(int(image.pixels[y, x, 2]) - recency) <= 0.5 + 1e-6


def test_counts_saturate_and_never_wrap_round() -> None:
    image = render_image(window([(0, 1, 1, 1)] * 70_000 + [(5, 1, 1, 0)] * 256))
    assert image.pixels[1, 1].tolist() == [255, 255, 1]
    assert np.count_nonzero(image.pixels) == 3
