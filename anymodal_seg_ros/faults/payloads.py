"""The things that faults do to a payload, be it an image in memory or a ROS message."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.faults.creeping import drifted, nearly_stuck
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.kinds import Garbage, Hanging, ImageFault, Mixed, Moved, Turned, Wrong
from anymodal_seg_ros.faults.messages import garbage_message, image_of, with_header, with_image
from anymodal_seg_ros.faults.mixed import mixed_rows
from anymodal_seg_ros.faults.other_views import other_view
from anymodal_seg_ros.faults.pictures import garbage_picture, wrong_picture
from anymodal_seg_ros.frames import Image


def under_header_of(new: Any, old: Any) -> Any:
    """Return what an old payload shows with the header of a new one; images have no header."""
    return old if isinstance(old, Image) else with_header(old, new.header)


def with_image_fault(
    fault: ImageFault, payload: Any, rng: np.random.Generator, modality: str
) -> Any:
    """Apply an image fault; of no severity, it returns the payload itself.

    Raises:
        ConfigError: it does not fit.
        DecodeError: the message is damaged.
    """
    if fault.severity == 0.0:
        return payload
    if isinstance(payload, Image):
        return apply_image_fault(fault, payload, rng, modality)
    return with_image(payload, apply_image_fault(fault, image_of(payload), rng, modality))


def with_wrong_content(fault: Wrong, payload: Any, rng: np.random.Generator) -> Any:
    """Show something else, but not the past; errors as :func:`with_image_fault`."""
    if isinstance(payload, Image):
        return wrong_picture(payload, fault.how, rng)
    return with_image(payload, wrong_picture(image_of(payload), fault.how, rng))


def with_other_view(fault: Moved | Turned, payload: Any) -> Any:
    """Show what a camera elsewhere sees; errors as :func:`with_image_fault`."""
    if isinstance(payload, Image):
        return other_view(fault, payload)
    return with_image(payload, other_view(fault, image_of(payload)))


def hanging(
    fault: Hanging, payload: Any, last: tuple[Any, ...], count: int, rng: np.random.Generator
) -> Any:
    """Show again what was delivered before.

    Args:
        fault: how it comes again.
        payload: what came now; its header stays.
        last: what was delivered before the fault began, the newest last.
        count: of messages since then, from 1.
        rng: dice.

    Raises:
        ConfigError: an image is to be changed, and the payload is none.
        DecodeError: the message is damaged.
    """
    buffers = {"two_buffers": 2, "four_buffers": 4}.get(fault.how, 1)
    old = last[-buffers:][count % min(buffers, len(last))]
    if fault.how in ("two_buffers", "four_buffers"):
        return under_header_of(payload, old)
    if isinstance(payload, Image):
        return nearly_stuck(fault.how, old, payload, count, rng)
    shown = nearly_stuck(fault.how, image_of(old), image_of(payload), count, rng)
    return with_image(payload, shown)


def mixed(fault: Mixed, payload: Any, last: tuple[Any, ...], count: int) -> Any:
    """Show what came before among what comes now; errors as :func:`hanging`.

    Args:
        fault: how.
        payload: what came now; its header stays.
        last: what came before it, the newest last; of too few, the payload itself is returned.
        count: of messages since the fault began, from 1.
    """
    if fault.how == "order":
        return under_header_of(payload, last[-2]) if count % 2 == 0 and len(last) > 1 else payload
    if len(last) < fault.ago:
        return payload
    earlier = last[-fault.ago]
    if isinstance(payload, Image):
        return mixed_rows(fault.how, earlier, payload)
    return with_image(payload, mixed_rows(fault.how, image_of(earlier), image_of(payload)))


def with_drift(what: str, amount: float, payload: Any, modality: str) -> Any:
    """Let something have grown; of no amount, or for delays, it returns the payload itself.

    Raises:
        ConfigError: it does not fit.
        DecodeError: the message is damaged.
    """
    if what == "delay" or amount == 0.0:
        return payload
    if isinstance(payload, Image):
        return drifted(what, amount, payload, modality)
    return with_image(payload, drifted(what, amount, image_of(payload), modality))


def with_garbage(fault: Garbage, payload: Any, rng: np.random.Generator) -> Any:
    """Corrupt the bytes of a payload."""
    corrupt = garbage_picture if isinstance(payload, Image) else garbage_message
    return corrupt(payload, fault.how, rng)
