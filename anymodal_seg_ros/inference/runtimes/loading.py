"""Waits for a library that loads a model, but not for ever: a graph may take it any time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from anymodal_seg_ros.errors import ModelError

_THREAD = "loading a model"

_TOLD_TO_END = "the model is not loaded: the process was told to end"

_LOOK_AGAIN_S = 0.1
"""How often it is looked whether the process has been told to end."""

_told_to_end = threading.Event()


class GivenUpError(Exception):
    """Nothing is waited for any longer, because the process was told to end.

    No error of a model or an engine: who would go on with another one must not meet it.
    """


def give_up_when(told_to_end: threading.Event) -> None:
    """Wait for no library any longer, from when this event is set.

    A process is told once to end, by a signal, whatever it loads and wherever: so this holds for
    all of it.
    """
    global _told_to_end
    _told_to_end = told_to_end


def loading_goes_on() -> bool:
    """Whether a library of this process is loading for nobody any longer."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def wait_in_time(ended: Callable[[float], bool], limit_s: float) -> bool:
    """Wait for something, within a limit; False if it has not ended then.

    Args:
        ended: waits for at most so many seconds, and says whether it has ended.
        limit_s: seconds that it may take.

    Raises:
        GivenUpError: the process was told to end, before that.
    """
    until = time.monotonic() + limit_s
    while not ended(min(_LOOK_AGAIN_S, max(0.0, until - time.monotonic()))):
        if _told_to_end.is_set():
            raise GivenUpError(_TOLD_TO_END)
        if time.monotonic() >= until:
            return False
    return True


@contextlib.contextmanager
def stopped_in_time(stop: Callable[[], None], limit_s: float) -> Iterator[None]:
    """Have what the body waits for stopped when it takes too long, or the process is to end.

    Args:
        stop: makes it raise; called in another thread.
        limit_s: seconds that it may take.

    Raises:
        GivenUpError: the process was told to end, and the body raised.
    """
    done = threading.Event()

    def watch() -> None:
        with contextlib.suppress(GivenUpError):
            if wait_in_time(done.wait, limit_s):
                return
        stop()

    threading.Thread(target=watch, name="limit of a load", daemon=True).start()
    try:
        yield
    except Exception as error:
        if _told_to_end.is_set():
            raise GivenUpError(_TOLD_TO_END) from error
        raise
    finally:
        done.set()


def load_in_time(load: Callable[[], None], limit_s: float, what: str) -> None:
    """Load in a thread of its own, so that neither a caller nor Ctrl-C waits for ever.

    Libraries cannot be stopped while they load: what takes longer goes on in that thread, for which
    nobody waits.

    Args:
        load: what loads; what it raises is raised here.
        limit_s: seconds that it may take.
        what: names the file or folder in an error, after who loads it.

    Raises:
        ModelError: it takes longer.
        GivenUpError: the process was told to end.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            load()
        except BaseException as error:  # handed on to whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, name=_THREAD, daemon=True)
    thread.start()

    def ended(seconds: float) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    if not wait_in_time(ended, limit_s):
        raise ModelError(
            f"{what}: it was not ready after {limit_s:g} s; choose another engine, or export the "
            "model again"
        )
    if errors:
        raise errors[0]
