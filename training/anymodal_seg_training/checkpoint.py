"""Files that are either whole or not there: checkpoints and weights."""

from __future__ import annotations

import os
import pickletools
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from anymodal_seg_ros.written_files import put_in_place
from anymodal_seg_training.archives import check_archive, is_safetensors, told_kind
from anymodal_seg_training.errors import TrainingError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill an empty file, then put it in the place of ``path``.

    Whatever happens on the way, ``path`` holds either its old content or the whole new one.

    Raises:
        TrainingError: the file cannot be written, for example because the disk is full.
    """
    try:
        with put_in_place(path, lasting=True) as unfinished:
            write(unfinished)
    except (OSError, RuntimeError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise TrainingError(
            f"cannot write {path}: {why}; what was there before is intact: "
            "make room or mend the permissions and repeat the command, a training with --resume"
        ) from error


def write_text_atomically(path: Path, content: str) -> None:
    """Put UTF-8 text in the place of ``path``; see :func:`write_atomically`.

    Raises:
        TrainingError: the file cannot be written, for example because the disk is full.
    """
    write_atomically(path, lambda unfinished: unfinished.write_bytes(content.encode()))


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: tensors, numbers and strings in nested dictionaries.

    Raises:
        TrainingError: it cannot be written.
    """
    write_atomically(path, lambda unfinished: torch.save(dict(state), unfinished))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; no code in it is executed.

    Raises:
        TrainingError: it is missing or broken.
    """
    check_archive(path)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler stumble in any way
        raise TrainingError(f"cannot read the checkpoint {path}: {_why(error)}") from error
    if not isinstance(state, dict):
        raise TrainingError(f"cannot read the checkpoint {path}: it holds a {_kind(state)}")
    return state


def _why(error: Exception) -> str:
    """Return what PyTorch found, without its advice to run the code in the file."""
    told = str(error).strip().rpartition("WeightsUnpickler error:")[2].strip()
    return told.partition("\n")[0]


def keep_previous(last: Path, previous: Path) -> None:
    """Let ``previous`` be what ``last`` is now; ``last`` stays where it is all the time.

    Raises:
        TrainingError: it cannot be kept.
    """
    write_atomically(previous, lambda temporary: _link_or_copy(last, temporary))


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system knows no such thing."""
    target.unlink()
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
    write_atomically(path, lambda unfinished: unfinished.write_bytes(save(plain)))


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

_LEGACY_PICKLES = 4
"""In a file from before PyTorch 1.6: a magic number, a version, the system, what was saved."""

_Content = Mapping[Any, Any]


def load_public_weights(path: Path) -> dict[str, Tensor]:
    """Read weights that others published: safetensors, or a state_dict that ``torch.save`` wrote.

    No code in the file is executed; what trainers keep beside weights, options and scores of their
    own classes, is not read. A state_dict may stand under one of :data:`_NESTS`, or under any other
    name where it is the only one or all that there are hold the same. What else stands in it, such
    as the number of an epoch, is left out.

    Raises:
        TrainingError: they are missing, broken, or no tensors by name.
    """
    check_archive(path)
    if not path.is_file():
        raise TrainingError(f"cannot read the weights {path}: there is no such file")
    if is_safetensors(path):
        return load_weights(path)
    try:
        content = _without_code(path)
    except Exception as error:  # a damaged file can make the unpickler stumble in any way
        unknown = (
            f"it is damaged or something else ({type(error).__name__} {_why(error)}); an archive "
            "that holds code, as OpenAI's of CLIP, must be saved again as a state_dict, for "
            "example by open_clip"
        )
        raise TrainingError(
            f"cannot read the weights {path}: {told_kind(path) or unknown}"
        ) from error
    try:
        weights = _found_in(content, _all_tensors, {}) or _found_in(content, _some_tensors, {})
    except _SeveralError as error:
        raise TrainingError(
            f"{path} holds several sets of weights, {error}, which differ: save the state_dict of "
            "one of them"
        ) from error
    if weights is None:
        found = content if isinstance(content, Mapping) else [_kind(content)]
        names = ", ".join(map(str, found))[:200] or "nothing"
        raise TrainingError(
            f"{path} holds no tensors by name, but {names}: save the state_dict of a model"
        )
    return {name: value for name, value in weights.items() if isinstance(value, Tensor)}


class _SeveralError(Exception):
    """There are weights under several names, and nothing says which are meant."""


class _Unread:
    """Stands for an object of a class that is not known here, whose code is not run."""

    def __init__(self, *arguments: object) -> None:
        """Forget what it was made of."""

    def __setstate__(self, state: object) -> None:
        """Forget what was in it."""


def _without_code(path: Path) -> Any:
    try:
        if zipfile.is_zipfile(path):
            others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        else:
            others = _legacy_globals(path)
    except (AttributeError, ValueError):  # torch before 2.6; no pickle at all
        others = []
    # Not by its path: of some names PyTorch takes for granted what is in the file.
    known = torch.serialization.safe_globals([(_Unread, name) for name in others])
    with known, path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _legacy_globals(path: Path) -> list[str]:
    """Return the classes and functions that a file from before PyTorch 1.6 names.

    Among them are those of tensors, which PyTorch makes itself whatever stands for them here.
    """
    with path.open("rb") as file:
        return sorted(
            {
                str(argument).replace(" ", ".")
                for _ in range(_LEGACY_PICKLES)
                for code, argument, _ in pickletools.genops(file)
                if code.name == "GLOBAL"
            }
        )


def _kind(content: object) -> str:
    return "a model of its own class" if isinstance(content, _Unread) else type(content).__name__


def _all_tensors(content: _Content) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _some_tensors(content: _Content) -> bool:
    """Whether there are tensors, beside them numbers and texts, and nothing inside of anything."""
    values = content.values()
    return any(isinstance(value, Tensor) for value in values) and not any(
        isinstance(value, Mapping) and value for value in values
    )


def _found_in(
    content: Any,
    is_weights: Callable[[_Content], bool],
    seen: dict[int, _Content | None],
    most: int = _MOST_NESTS,
) -> _Content | None:
    """Return the tensors by name in it, at any depth; an optimiser's go by numbers.

    Args:
        content: of a file.
        is_weights: whether a mapping is what is looked for.
        seen: what was found in mappings before, by their identity: one may hold itself.
        most: how deep it may lie.

    Raises:
        _SeveralError: there are several that differ, none of them under a name that says it.
    """
    if not most or not isinstance(content, Mapping):
        return None
    if not all(isinstance(name, str) for name in content):
        return None
    if id(content) in seen:
        return seen[id(content)]
    seen[id(content)] = content if is_weights(content) else None
    if seen[id(content)] is None:
        for name in _NESTS:
            found = _found_in(content.get(name), is_weights, seen, most - 1)
            if found is not None:
                seen[id(content)] = found
                return found
        inside = {
            name: _found_in(value, is_weights, seen, most - 1) for name, value in content.items()
        }
        candidates = {name: found for name, found in inside.items() if found is not None}
        first = next(iter(candidates.values()), None)
        if first is not None and not all(_same(first, found) for found in candidates.values()):
            raise _SeveralError(", ".join(candidates))
        seen[id(content)] = first
    return seen[id(content)]


def _same(one: _Content, other: _Content) -> bool:
    """Whether two sets of weights hold the same numbers under the same names."""
    own, others = (
        {name: value for name, value in each.items() if isinstance(value, Tensor)}
        for each in (one, other)
    )
    return own.keys() == others.keys() and all(
        tensor.dtype == others[name].dtype and torch.equal(tensor, others[name])
        for name, tensor in own.items()
    )
