"""What others wrote is shown short, on one line, and without what a terminal obeys."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.foreign_text import LINE_LENGTH, QUOTED_LENGTH, block, one_line, quote


def test_ordinary_text_stays_as_it_is() -> None:
    assert quote("/front/größe_1 [m/s] — 日本") == "/front/größe_1 [m/s] — 日本"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "a?[31mred?[0m"),
        ("a\n[FATAL] forged", "a [FATAL] forged"),
        ("\x9b2J\x7f\x00", "?2J??"),
        ("abc\u202eexe", "abc?exe"),
        ("a\u2028b\u2029c", "a b c"),
        ("file\udcff.bag", "file?.bag"),
        ("a\U0002fa1e\ufdd0b", "a??b"),  # no characters, so far
        (12, "12"),
    ],
)
def test_what_controls_a_terminal_is_taken_out(text: object, shown: str) -> None:
    assert quote(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert quote("x" * 5_000_000) == "x" * (QUOTED_LENGTH - 1) + "…"
    assert quote("x" * 10, 10) == "x" * 10
    assert quote("x" * 11, 10) == "x" * 9 + "…"


@given(st.text(), st.integers(1, 80))
def test_whatever_comes_fits_a_line(text: str, limit: int) -> None:
    shown = quote(text, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


def test_an_error_of_many_lines_becomes_one() -> None:
    assert one_line("cannot read\n  in line 3:\tfoo") == "cannot read in line 3: foo"
    assert len(one_line("y " * 10_000_000)) == LINE_LENGTH


def test_of_a_long_error_the_beginning_and_the_end_stay() -> None:
    for size in (1000, 10_000_000):
        said = one_line(f"far_m is {'9' * size}: expected a value from 0 to 1000")
        assert len(said) == LINE_LENGTH
        assert said.startswith("far_m is 999")
        assert said.endswith("9: expected a value from 0 to 1000")


def test_no_line_of_a_traceback_looks_like_another_entry_of_the_log() -> None:
    text = "Traceback:\n  File x\n\nValueError: \x1b[31m\r\n[FATAL] all is lost\n"
    assert block(text) == "\n  Traceback:\n    File x\n  ValueError: ?[31m \n  [FATAL] all is lost"
    assert block("begin" + "x" * 10**6 + "\nthe end").endswith("\n  the end")
    assert len(block("\n".join("x" * 10**6))) < 10**5
