"""How a model's scores with missing or noisy sensors become a few numbers.

Two protocols are in use, and their numbers must not be mixed:

- *all combinations* (MAGIC, arXiv 2407.11344, and its followers): every non-empty subset of the
  modalities, the absent ones **skipped**; see :func:`summarise`.
- the *robustness benchmark* (arXiv 2503.18445): entire-missing (EMM), random-missing (RMM) and
  noisy modalities (NM), where every tensor is always passed and the missing part of it is **zero**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Subset = frozenset[str]

FAILURE_PROBABILITIES = (0.2, 0.1, 0.05)
"""With which each modality fails by itself, in the benchmark's expected scores."""


@dataclass(frozen=True, slots=True)
class CombinationScores:
    """The numbers of the protocol over all combinations; in the unit of the scores.

    Attributes:
        mean: plain mean over all subsets.
        top: of the best subset (Top-1 of CHARM, arXiv 2508.03060).
        last: of the worst subset (Last-1 of CHARM).
    """

    mean: float
    top: float
    last: float


def summarise(scores: Mapping[Subset, float], modalities: Sequence[str]) -> CombinationScores:
    """Condense the scores of all subsets.

    Raises:
        ValueError: a subset is missing or unknown.
    """
    values = _in_order(scores, modalities)
    return CombinationScores(float(values.mean()), float(values.max()), float(values.min()))


def expected_score(
    scores: Mapping[Subset, float], modalities: Sequence[str], failure: float
) -> float:
    """Return the mean score if each modality fails by itself with probability ``failure``.

    That all fail at once is left out and the weights are scaled up to sum to 1 (arXiv 2503.18445,
    the E(p) columns of EMM and RMM).

    Raises:
        ValueError: a subset is missing or unknown, or ``failure`` is not from 0 to below 1.
    """
    if not 0.0 <= failure < 1.0:
        raise ValueError(f"failure is {failure}: expected 0 <= failure < 1")
    values = _in_order(scores, modalities)
    present = np.array([len(subset) for subset in _subsets(modalities)])
    weights = failure ** (len(modalities) - present) * (1.0 - failure) ** present
    return float((weights * values).sum() / weights.sum())


def robustness_score(
    clean: float,
    entire_missing: Mapping[Subset, float],
    random_missing: Mapping[Subset, float],
    noisy: Mapping[str, float],
    modalities: Sequence[str],
) -> float:
    """Return the single number of EQUISeg (arXiv 2509.24505).

    It is the mean of the clean score, EMM and RMM (ratio 0.5), each as plain average and as
    expectation at a failure probability of 0.1, and NM at the levels low and mid.

    Raises:
        ValueError: a subset is missing or unknown.
        KeyError: a noise level is missing.
    """
    parts = [clean]
    for scores in (entire_missing, random_missing):
        parts.append(summarise(scores, modalities).mean)
        parts.append(expected_score(scores, modalities, 0.1))
    parts += [noisy["low"], noisy["mid"]]
    return float(np.mean(parts))


def _subsets(modalities: Sequence[str]) -> list[Subset]:
    """All non-empty subsets."""
    return [
        frozenset(name for bit, name in enumerate(modalities) if code >> bit & 1)
        for code in range(1, 2 ** len(modalities))
    ]


def _in_order(scores: Mapping[Subset, float], modalities: Sequence[str]) -> npt.NDArray[np.float64]:
    wanted = _subsets(modalities)
    for subset in wanted:
        if subset not in scores:
            raise ValueError(f"no score of {'+'.join(sorted(subset))}: expected all subsets")
    if len(scores) != len(wanted):
        unknown = sorted("+".join(sorted(subset)) for subset in set(scores) - set(wanted))
        raise ValueError(f"scores of {', '.join(unknown)}, which are no subsets of {modalities}")
    return np.array([scores[subset] for subset in wanted])
