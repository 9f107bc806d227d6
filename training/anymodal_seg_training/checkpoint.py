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
    except (OSError, RuntimeError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write {path}: {error}; what was there before is intact: "
            "make room or mend the permissions, then go on with --resume"
        ) from error


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
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot read the weights {path}: {error}") from error


def load_public_weights(path: Path) -> dict[str, Tensor]:
    """Read weights that others published: safetensors, or a state_dict that ``torch.save`` wrote.

    No code in the file is executed. A state_dict may stand under the name ``state_dict``,
    ``model_state_dict`` or ``model``.

    Raises:
        TrainingError: they are missing, broken, or no tensors by name.
    """
    if path.suffix == ".safetensors":
        return load_weights(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler stumble in any way
        raise TrainingError(
            f"cannot read the weights {path}: it is damaged or something else "
            f"({type(error).__name__} {error}); an archive that holds code, as OpenAI's of "
            "CLIP, must be saved again as a state_dict, for example by open_clip"
        ) from error
    weights = content if isinstance(content, Mapping) else {}
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(weights.get(name), Mapping):
            weights = weights[name]
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise TrainingError(f"{path} holds no tensors by name: save the state_dict of a model")
    return dict(weights)


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
