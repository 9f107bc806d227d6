"""What comes out of an engine at work: whose failure it was is known to whoever meets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anymodal_seg_ros.errors import AnymodalError, EngineError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.inference.engine_protocol import Engine

_FAILED = "failed_engine"
"""On an exception: the engine that it came out of."""


@contextmanager
def engine_at_work(engine: Engine) -> Iterator[None]:
    """Note on whatever an engine raises meanwhile that it was the engine.

    The exception stays what it is: whoever goes on after it, as a node does, tells its kind.
    """
    try:
        yield
    except Exception as error:
        setattr(error, _FAILED, engine.name)
        raise


@contextmanager
def engine_failures_told() -> Iterator[None]:
    """Make a sentence of what an engine raises: for those who do not go on after it.

    Raises:
        EngineError: the engine failed; what came out of it is the cause.
    """
    try:
        yield
    except AnymodalError:
        raise
    except Exception as error:
        if name := getattr(error, _FAILED, ""):
            said = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
            raise EngineError(
                f"the engine {name} failed, {said}; see what 'anymodal-seg verify-engine' says, "
                "or choose another --engine"
            ) from error
        raise
