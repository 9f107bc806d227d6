"""The numbers of both protocols, held against published ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.evaluation.robustness import (
    FAILURE_PROBABILITIES,
    expected_score,
    robustness_score,
    summarise,
)

FOUR = ("rgb", "depth", "event", "lidar")
SUBSETS = [
    frozenset(chosen) for size in range(1, 5) for chosen in itertools.combinations(FOUR, size)
]


def by_missing(means: tuple[float, float, float, float]) -> dict[frozenset[str], float]:
    """Scores that depend on the number of missing modalities alone."""
    return {subset: means[4 - len(subset)] for subset in SUBSETS}


@pytest.mark.parametrize(
    ("failure", "weights"),
    [
        (0.2, (0.4103, 0.4103, 0.1538, 0.0256)),
        (0.1, (0.6562, 0.2916, 0.0486, 0.0036)),
        (0.05, (0.8145, 0.1715, 0.0135, 0.0005)),
    ],
)
def test_weights_by_number_of_missing_modalities_are_the_published_ones(
    failure: float, weights: tuple[float, ...]
) -> None:
    for missing, weight in enumerate(weights):
        one = tuple(100.0 if i == missing else 0.0 for i in range(4))
        assert expected_score(by_missing(one), FOUR, failure) == pytest.approx(
            100 * weight, abs=0.006
        )


@pytest.mark.parametrize(
    ("clean", "by_k", "published"),
    [  # arXiv 2503.18445: clean, means by number missing solved from the table, Avg and E(p)
        (66.33, (51.6, 36.1, 19.7), (37.90, 54.46, 60.41, 63.38)),
        (66.10, (58.4, 44.9, 26.3), (44.97, 58.66, 62.68, 64.47)),
        (68.20, (56.5, 40.9, 22.5), (41.98, 58.02, 63.29, 65.80)),
    ],
    ids=["cmnext", "magic", "stitchfusion"],
)
def test_published_rows_of_the_benchmark_are_reproduced(
    clean: float, by_k: tuple[float, float, float], published: tuple[float, ...]
) -> None:
    scores = by_missing((clean, *by_k))
    found = [summarise(scores, FOUR).mean]
    found += [expected_score(scores, FOUR, p) for p in FAILURE_PROBABILITIES]
    assert found == pytest.approx(published, abs=0.06)  # the means are known to a decimal


def test_the_robustness_score_of_the_published_row() -> None:
    # Constant scores make average and expectation alike, so each pair enters by its mean.
    emm, rmm = (48.22 + 65.75) / 2, (50.96 + 64.64) / 2
    score = robustness_score(
        67.90,
        dict.fromkeys(SUBSETS, emm),
        dict.fromkeys(SUBSETS, rmm),
        {"low": 34.87, "mid": 19.13},
        FOUR,
    )
    assert score == pytest.approx(50.21, abs=0.005)


@given(st.lists(st.floats(0, 100), min_size=15, max_size=15), st.floats(0, 0.99))
def test_an_expectation_lies_between_the_worst_and_the_best(
    values: list[float], failure: float
) -> None:
    scores = dict(zip(SUBSETS, values, strict=True))
    summary = summarise(scores, FOUR)
    expected = expected_score(scores, FOUR, failure)
    assert summary.last - 1e-9 <= expected <= summary.top + 1e-9
    assert expected_score(scores, FOUR, 0.0) == pytest.approx(scores[frozenset(FOUR)])


def test_a_missing_or_unknown_subset_is_named() -> None:
    scores = dict.fromkeys(SUBSETS, 1.0)
    with pytest.raises(ValueError, match="radar"):
        summarise({**scores, frozenset({"radar"}): 1.0}, FOUR)
    del scores[frozenset({"rgb", "event"})]
    with pytest.raises(ValueError, match=r"event\+rgb"):
        expected_score(scores, FOUR, 0.1)
