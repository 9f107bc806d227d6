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
"""Rows of coordinates in any floating type; results have the type of the input."""

_TABLE = 1024
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


def dot(a: Points, b: Points) -> Points:
    """Return the dot products of rows of two columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1])


def _polynomial(coefficients: tuple[float, ...], s: Points) -> Points:
    """Evaluate c0 + c1 s + c2 s² + … by Horner's rule."""
    value = np.full_like(s, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= s
        value += coefficient
    return value


def distort(lens: Lens, plane: Points, square: Points) -> Points:
    """Distort points of the ideal plane; ``square`` is their squared radius."""
    stretch = _polynomial(lens.numerator, square)
    if len(lens.denominator) > 1:
        stretch /= _polynomial(lens.denominator, square)
    bent = plane * stretch[:, np.newaxis]
    if any(lens.tangential):
        p1, p2 = lens.tangential
        x, y = plane[:, 0], plane[:, 1]
        twice = 2 * x * y
        bent[:, 0] += p1 * twice + p2 * (square + 2 * x * x)
        bent[:, 1] += p1 * (square + 2 * y * y) + p2 * twice
    if any(lens.prism):
        s1, s2, s3, s4 = lens.prism
        bent[:, 0] += square * (s1 + s2 * square)
        bent[:, 1] += square * (s3 + s4 * square)
    return bent


def undistort(lens: Lens, bent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Invert the distortion: by table along the radius, then Newton's method in the plane."""
    radius = np.sqrt(dot(bent, bent))
    ideal = np.interp(radius, lens.stretched, lens.radii, right=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = bent * np.where(radius > 0, ideal / radius, 1)[:, np.newaxis]
        step = 1e-6
        for _ in range(4):
            here = distort(lens, plane, dot(plane, plane))
            a, c = _slope(lens, plane, here, np.array([step, 0.0]), step)
            b, d = _slope(lens, plane, here, np.array([0.0, step]), step)
            error = bent - here
            determinant = a * d - b * c
            plane[:, 0] += (d * error[:, 0] - b * error[:, 1]) / determinant
            plane[:, 1] += (a * error[:, 1] - c * error[:, 0]) / determinant
        square = dot(plane, plane)
        error = bent - distort(lens, plane, square)
        good = (dot(error, error) < _CONVERGED**2) & (square <= lens.limit**2)
    plane[~good] = np.nan
    return plane


def _slope(
    lens: Lens, plane: Points, here: Points, shift: Points, step: float
) -> tuple[Points, Points]:
    """Return how the distorted point moves when the ideal one does."""
    moved = plane + shift
    change = (distort(lens, moved, dot(moved, moved)) - here) / step
    return change[:, 0], change[:, 1]


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
