"""Files that are written whole or not at all, and believed only if nothing of them is missing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.locks import files_held
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.resources import user_cache_dir
from anymodal_seg_ros.written_files import write_file


def cache_dir() -> Path:
    """Return the folder of the plans: ``$XDG_CACHE_HOME/anymodal_seg_ros/tensorrt``."""
    return user_cache_dir() / "tensorrt"


def write_kept(path: Path, content: bytes, about: Mapping[str, Any]) -> None:
    """Write a file, and beside it what there is to know of it, as JSON.

    Whoever reads at the same time, or after the power went, finds the old pair, the new pair, or
    one that does not fit together and is not believed. Only the owner may read them: a plan is
    code that the GPU executes. Who clears the folder away waits until both are there.

    Raises:
        EngineError: it cannot be written.
    """
    with folder_held(path):
        write_held(path, content, about)


@contextlib.contextmanager
def folder_held(path: Path) -> Iterator[None]:
    """Make the folder of a file, and let no other process write or clear away in it meanwhile.

    Raises:
        EngineError: it cannot be made, or another process does not come to an end in it.
    """
    with contextlib.ExitStack() as stack, _told(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(files_held(path.parent))
        yield


def write_held(path: Path, content: bytes, about: Mapping[str, Any]) -> None:
    """Do as :func:`write_kept` within :func:`folder_held`.

    Raises:
        EngineError: it cannot be written.
    """
    told = {**about, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with _told(path):
        write_file(path, content, private=True, lasting=True)
        write_file(meta_of(path), json.dumps(told, indent=2) + "\n", private=True, lasting=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"cannot write {path}: {error.strerror}; make room, or point XDG_CACHE_HOME elsewhere"
        ) from error


def read_kept(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return a file and what there is to know of it.

    Raises:
        FileNotFoundError: there is none.
        EngineError: it is truncated, altered, open for others to write to, or unreadable.
    """
    about = read_meta(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise EngineError(f"{path} is no regular file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise EngineError(f"{path} belongs to somebody else, or others may write to it")
    if len(content) != about.get("bytes"):
        raise EngineError(f"{path} has {len(content)} bytes, expected {about.get('bytes')}")
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise EngineError(f"{path} was altered: its sha256 is not the one that was written down")
    return content, about


def read_meta(path: Path) -> dict[str, Any]:
    """Return what there is to know of a file.

    Raises:
        FileNotFoundError: there is nothing.
        EngineError: it is no JSON object.
    """
    try:
        about = read_json(meta_of(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise EngineError(f"{meta_of(path)} cannot be read: {error}") from error
    if not isinstance(about, dict):
        raise EngineError(f"{meta_of(path)} is no JSON object")
    return about


def remove_kept(path: Path) -> None:
    """Remove a file and what is known of it; not to be there is no error."""
    for part in (path, meta_of(path)):
        part.unlink(missing_ok=True)


def meta_of(path: Path) -> Path:
    """Return where it is written what there is to know of a file."""
    return path.with_name(path.name + ".json")
