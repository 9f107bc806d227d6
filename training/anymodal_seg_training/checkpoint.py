"""Files that are either whole or not there: checkpoints and weights."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from anymodal_seg_training.archives import check_archive
from anymodal_seg_training.errors import TrainingError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then put it in the place of ``path``.

    Whatever happens on the way, ``path`` holds either its old content or the whole new one.

    Raises:
        TrainingError: the file cannot be written, for example because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C, too
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError | RuntimeError | SafetensorError):
            raise
        raise TrainingError(
            f"cannot write {path}: {error}; what was there before is intact: "
            "make room or mend the permissions, then go on with --resume"
        ) from error


def forget_partial(path: Path) -> None:
    """Remove what :func:`write_atomically` left of ``path`` in processes that were killed.

    Only where no other process writes it.
    """
    for temporary in path.parent.glob(f".{path.name}.[0-9]*"):
        temporary.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: tensors, numbers and strings in nested dictionaries.

    Raises:
        TrainingError: it cannot be written.
    """
    write_atomically(path, lambda temporary: torch.save(dict(state), temporary))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; no code in it is executed.

    Raises:
        TrainingError: it is missing or broken.
    """
    check_archive(path)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler stumble in any way
        raise TrainingError(f"cannot read the checkpoint {path}: {error}") from error
    return state


def keep_previous(last: Path, previous: Path) -> None:
    """Let ``previous`` be what ``last`` is now; ``last`` stays where it is all the time.

    Raises:
        TrainingError: it cannot be kept.
    """
    write_atomically(previous, lambda temporary: _link_or_copy(last, temporary))


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def name_once(temporary: Path, path: Path) -> None:
    """Give a file its name unless another one has it already.

    Raises:
        OSError: it cannot be named so.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # where a file cannot have two names
        temporary.rename(path)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors.

    Raises:
        TrainingError: they cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # Not save_file, which makes files that nobody else may read.
    write_atomically(path, lambda temporary: _write_bytes(temporary, save(plain)))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights from safetensors.

    Raises:
        TrainingError: they are missing or broken.
    """
    check_archive(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot read the weights {path}: {error}") from error


_NESTS = ("state_dict", "model_state_dict", "model")
"""Where trainers put the weights that they also publish; averages stand beside them."""

_MOST_NESTS = 32


def load_public_weights(path: Path) -> dict[str, Tensor]:
    """Read weights that others published: safetensors, or a state_dict that ``torch.save`` wrote.

    No code in the file is executed; what trainers keep beside weights, options and scores of their
    own classes, is not read. A state_dict may stand under one of :data:`_NESTS`, or under any other
    name where it is the only one.

    Raises:
        TrainingError: they are missing, broken, or no tensors by name.
    """
    check_archive(path)
    if path.suffix == ".safetensors":
        return load_weights(path)
    if not path.is_file():
        raise TrainingError(f"cannot read the weights {path}: there is no such file")
    try:
        content = _without_code(path)
    except Exception as error:  # a damaged file can make the unpickler stumble in any way
        raise TrainingError(
            f"cannot read the weights {path}: it is damaged or something else "
            f"({type(error).__name__} {error}); an archive that holds code, as OpenAI's of "
            "CLIP, must be saved again as a state_dict, for example by open_clip"
        ) from error
    weights = content
    for _ in range(_MOST_NESTS):
        if not isinstance(weights, Mapping) or _all_tensors(weights):
            break
        inside = [name for name, value in weights.items() if _holds_tensors(value)]
        known = [name for name in _NESTS if name in inside] or inside
        if not known or (known[0] not in _NESTS and len(known) > 1):
            break
        weights = weights[known[0]]
    if not isinstance(weights, Mapping) or not _all_tensors(weights):
        found = weights if isinstance(weights, Mapping) else [_kind(weights)]
        names = ", ".join(map(str, found))[:200] or "nothing"
        raise TrainingError(
            f"{path} holds no tensors by name, but {names}: save the state_dict of a model"
        )
    return dict(weights)


class _Unread:
    """Stands for an object of a class that is not known here, whose code is not run."""

    def __init__(self, *arguments: object) -> None:
        """Forget what it was made of."""

    def __setstate__(self, state: object) -> None:
        """Forget what was in it."""


def _without_code(path: Path) -> Any:
    try:
        others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (AttributeError, ValueError):  # torch before 2.6; a format that has no such list
        others = []
    with torch.serialization.safe_globals([(_Unread, name) for name in others]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _kind(content: object) -> str:
    return "a model of its own class" if isinstance(content, _Unread) else type(content).__name__


def _all_tensors(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _holds_tensors(content: Any) -> bool:
    """Whether there are tensors by name in it, at any depth; an optimiser's go by numbers."""
    seen, waiting = set(), [content]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, Mapping) or id(one) in seen:  # it may hold itself
            continue
        seen.add(id(one))
        if all(isinstance(name, str) for name in one):
            if _all_tensors(one):
                return True
            waiting.extend(one.values())
    return False


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
