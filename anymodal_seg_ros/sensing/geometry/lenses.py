"""Distortion of the ideal image plane by a lens, and back.

OpenCV computes the same, point by point and in double precision only; this does it in bulk (about
20 times faster on a LiDAR cloud) and knows where a distortion polynomial stops being a lens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial

Points = npt.NDArray[np.floating]
"""Coordinates in any floating type; results have the type of the input."""

_TABLE = 1024
_STEP = 1e-6
_CONVERGED = 1e-7
"""Largest error of an inverted distortion, on the ideal plane: under a thousandth of a pixel."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A distortion as polynomials of s = r² on the ideal plane.

    Attributes:
        numerator, denominator: r is stretched by their quotient.
        tangential: OpenCV's p1, p2.
        prism: OpenCV's s1, s2, s3, s4.
        limit: the r at which the stretched radius stops growing. Beyond it the polynomial folds
            back and would paint points from far outside the view into the picture.
        radii, stretched: a table of r and its stretched value, up to the limit or well beyond the
            corners of the image.
    """

    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    tangential: tuple[float, float]
    prism: tuple[float, float, float, float]
    limit: float
    radii: npt.NDArray[np.float64]
    stretched: npt.NDArray[np.float64]


def distort(lens: Lens, x: Points, y: Points) -> tuple[Points, Points]:
    """Distort points of the ideal plane, whose coordinates are ``[N]`` each."""
    square = x * x + y * y
    stretch = _polynomial(lens.numerator, square)
    if len(lens.denominator) > 1:
        stretch /= _polynomial(lens.denominator, square)
    across, down = x * stretch, y * stretch
    if any(lens.tangential):
        p1, p2 = lens.tangential
        twice = 2 * x * y
        across += p1 * twice + p2 * (square + 2 * x * x)
        down += p1 * (square + 2 * y * y) + p2 * twice
    if any(lens.prism):
        s1, s2, s3, s4 = lens.prism
        across += square * (s1 + s2 * square)
        down += square * (s3 + s4 * square)
    return across, down


def undistort(lens: Lens, across: Points, down: Points) -> tuple[Points, Points]:
    """Invert :func:`distort`: by table along the radius, then by Newton's method in the plane.

    NaN where no point of the ideal plane within the lens's limit is bent to the given one.
    """
    radius = np.hypot(across, down)
    ideal = np.interp(radius, lens.stretched, lens.radii, right=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(radius > 0, ideal / radius, 1)
        x, y = across * scale, down * scale
        for _ in range(4):
            here = distort(lens, x, y)
            a, c = _slope(here, distort(lens, x + _STEP, y))
            b, d = _slope(here, distort(lens, x, y + _STEP))
            wrong_x, wrong_y = across - here[0], down - here[1]
            determinant = a * d - b * c
            x = x + (d * wrong_x - b * wrong_y) / determinant
            y = y + (a * wrong_y - c * wrong_x) / determinant
        here = distort(lens, x, y)
        error = np.hypot(across - here[0], down - here[1])
        good = (error < _CONVERGED) & (np.hypot(x, y) <= lens.limit)
    return np.where(good, x, np.nan), np.where(good, y, np.nan)


def _slope(here: tuple[Points, Points], moved: tuple[Points, Points]) -> tuple[Points, Points]:
    """Return how far a distorted point moves, across and down, for one step of the ideal one."""
    return (moved[0] - here[0]) / _STEP, (moved[1] - here[1]) / _STEP


def _polynomial(coefficients: tuple[float, ...], s: Points) -> Points:
    """Evaluate c0 + c1 s + c2 s² + … by Horner's rule."""
    value = np.full_like(s, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= s
        value += coefficient
    return value


def make_lens(model: str, distortion: npt.NDArray[np.float64], reach: float) -> Lens:
    """Turn coefficients in OpenCV's order into polynomials, their limit and their table.

    Args:
        model: one of :data:`COEFFICIENTS`.
        distortion: its coefficients.
        reach: distorted radius of the farthest corner of the image.
    """
    k = tuple(map(float, distortion)) + (0.0,) * (14 - len(distortion))
    fisheye = model == "equidistant"
    numerator = (1.0, *k[:4]) if fisheye else (1.0, k[0], k[1], k[4])
    denominator = (1.0,) if fisheye or not any(k[5:8]) else (1.0, *k[5:8])
    limit = _limit(numerator, denominator)
    if fisheye:
        limit = min(limit, np.pi)
    end = 1.0
    while end < 64 and _stretched(numerator, denominator, np.array([end]))[0] < 1.1 * reach:
        end *= 2
    radii = np.linspace(0.0, min(end, limit), _TABLE)
    return Lens(
        numerator,
        denominator,
        (0.0, 0.0) if fisheye else (k[2], k[3]),
        (0.0, 0.0, 0.0, 0.0) if fisheye else (k[8], k[9], k[10], k[11]),
        limit,
        radii,
        _stretched(numerator, denominator, radii),
    )


def _stretched(
    numerator: tuple[float, ...], denominator: tuple[float, ...], r: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.asarray(r * _polynomial(numerator, r * r) / _polynomial(denominator, r * r))


def _limit(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> float:
    """Return the smallest r > 0 at which r N(r²) / D(r²) stops growing; infinity if it never does.

    Its derivative is ((N + 2sN')D - 2sND') / D², a polynomial of s = r² over a square.
    """
    n, d, s = Polynomial(numerator), Polynomial(denominator), Polynomial([0.0, 1.0])
    growth = (n + 2 * s * n.deriv()) * d - 2 * s * n * d.deriv()
    roots = np.concatenate([growth.trim(1e-15).roots(), d.trim(1e-15).roots()])
    real = roots.real[(np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))) & (roots.real > 0)]
    return float(np.sqrt(real.min())) if real.size else float("inf")
