"""Formats in which cameras hand out colour before anybody made RGB of it: Bayer mosaics and YUV.

Their samples are no pixels, so they can neither be resized nor warped. They are turned to RGB
before anything else sees them, by OpenCV, at the first use of the image. YUV is BT.601 of limited
range (luma 16..235), which is what cv_bridge and OpenCV take it to be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.decoding.encodings import PixelLayout, for_opencv


@dataclass(frozen=True, slots=True)
class CameraFormat:
    """How one format lies in memory and how it becomes RGB.

    Attributes:
        layout: of one stored row.
        encoding: of the result, one of :data:`anymodal_seg_ros.sensing.decoding.encodings.LAYOUTS`.
        convert: from stored rows and the image's width to pixels.
        rows: stored rows per row of the image; more than 1 where chroma follows in its own plane.
        multiple: (height, width) must be multiples of these.
        least: smallest height and width.
    """

    layout: PixelLayout
    encoding: str
    convert: Callable[[Pixels, int], Pixels]
    rows: Fraction = Fraction(1)
    multiple: tuple[int, int] = (1, 1)
    least: int = 1

    @property
    def planar(self) -> bool:
        """Whether chroma follows luma in a plane of its own."""
        return self.rows > 1

    def check_size(self, name: str, height: int, width: int) -> None:
        """Raise :class:`DecodeError` if an image of this size cannot exist in the format."""
        rows, columns = self.multiple
        if height % rows or width % columns or min(height, width) < self.least:
            raise DecodeError(
                f"size is {width}x{height}: expected at least {self.least} on each side, the width "
                f"a multiple of {columns} and the height of {rows}, as {name} needs",
                "size",
            )


def _opencv(code: int) -> Callable[[Pixels, int], Pixels]:
    """Return a conversion by one OpenCV code."""
    return lambda stored, width: cv2.cvtColor(for_opencv(stored[:, :width]), code)


# R, G, B from Y, U, V and 1: BT.601, limited range.
_BT601 = np.array(
    [
        [1.164383, 0.0, 1.596027, -1.164383 * 16 - 1.596027 * 128],
        [1.164383, -0.391762, -0.812968, -1.164383 * 16 + (0.391762 + 0.812968) * 128],
        [1.164383, 2.017232, 0.0, -1.164383 * 16 - 2.017232 * 128],
    ]
)


def _nv24(stored: Pixels, width: int) -> Pixels:
    """Convert a luma plane with a chroma plane of full resolution; OpenCV has no code for it."""
    height = stored.shape[0] // 3
    # One row of chroma, U and V in turn, takes two stored rows with both their paddings behind it.
    chroma = stored[height:].reshape(height, -1)[:, : 2 * width].reshape(height, width, 2)
    return np.asarray(cv2.transform(cv2.merge([stored[:height, :width], chroma]), _BT601))


_BYTE = PixelLayout(np.dtype(np.uint8), 1)
_BYTE_PAIR = PixelLayout(np.dtype(np.uint8), 2)

# OpenCV names a mosaic after the second row's second and third pixel: its BG is our RGGB.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

_UYVY = CameraFormat(_BYTE_PAIR, "rgb8", _opencv(cv2.COLOR_YUV2RGB_UYVY), multiple=(1, 2))
_YUYV = CameraFormat(_BYTE_PAIR, "rgb8", _opencv(cv2.COLOR_YUV2RGB_YUYV), multiple=(1, 2))

CAMERA_FORMATS: dict[str, CameraFormat] = {
    **{
        f"bayer_{pattern}{bits}": CameraFormat(
            PixelLayout(np.dtype(f"u{bits // 8}"), 1), f"rgb{bits}", _opencv(code), least=3
        )
        for bits in (8, 16)
        for pattern, code in _BAYER.items()
    },
    "uyvy": _UYVY,
    "yuv422": _UYVY,  # its old name
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,  # its old name
    "nv12": CameraFormat(
        _BYTE, "rgb8", _opencv(cv2.COLOR_YUV2RGB_NV12), Fraction(3, 2), multiple=(2, 2)
    ),
    "nv21": CameraFormat(
        _BYTE, "rgb8", _opencv(cv2.COLOR_YUV2RGB_NV21), Fraction(3, 2), multiple=(2, 2)
    ),
    "nv24": CameraFormat(_BYTE, "rgb8", _nv24, Fraction(3)),
}
"""Every encoding that has to be converted before its pixels can be used."""
