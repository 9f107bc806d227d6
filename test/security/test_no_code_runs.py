"""A checkpoint, weights or arrays that hold code are refused, and the code does not run."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.tiny_model import write_tiny_model
from numpy.lib import format as npy

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest, load_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.verification.self_test import ROLE, read_self_test
from anymodal_seg_training.checkpoint import load_checkpoint, load_public_weights, load_weights
from anymodal_seg_training.datasets.bounded import array, arrays


class Code:
    """Writes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._proof}",)


def plain_pickle(proof: Path) -> bytes:
    return pickle.dumps({"model": Code(proof)})


def torch_zip(proof: Path) -> bytes:
    made = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "more": Code(proof)}, made)
    return made.getvalue()


def torch_legacy(proof: Path) -> bytes:
    made = io.BytesIO()
    torch.save({"model": Code(proof)}, made, _use_new_zipfile_serialization=False)
    return made.getvalue()


def object_array(proof: Path) -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([Code(proof)], object), allow_pickle=True)
    return made.getvalue()


def object_archive(proof: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("images", "masks", "subsets", "mask"):
            archive.writestr(f"{name}.npy", object_array(proof))
    return made.getvalue()


def lying_header(proof: Path) -> bytes:
    """An array whose header is an expression: numpy evaluates literals only."""
    made = io.BytesIO()
    made.write(npy.magic(1, 0))
    header = (
        f"{{'descr': __import__('os').system('touch {proof}'), 'shape': (1,)}}".ljust(117) + "\n"
    )
    made.write(len(header).to_bytes(2, "little") + header.encode())
    return made.getvalue()


HOSTILE = {
    "pickle": plain_pickle,
    "torch zip": torch_zip,
    "torch legacy": torch_legacy,
    "object array": object_array,
    "object archive": object_archive,
    "lying header": lying_header,
}


Reader = Callable[[Path, bytes], Any]
"""Writes bytes below a folder and reads them as a program does."""


def of_file(name: str, read: Callable[[Path], Any]) -> Reader:
    def write_and_read(folder: Path, content: bytes) -> Any:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return write_and_read


def model_with(role: str, folder: Path, content: bytes) -> Any:
    model = write_tiny_model(folder / "model")
    (model / "hostile").write_bytes(content)
    manifest = load_manifest(model)
    files = {**manifest.files, role: FileSpec("hostile", sha256(model / "hostile"))}
    dump_manifest(replace(manifest, files=files), model)
    return load_model(str(model))


def weights_of_a_model(folder: Path, content: bytes) -> Any:
    return create_engine("torch", model_with("weights", folder, content))


def graph_of_a_model(folder: Path, content: bytes) -> Any:
    return create_engine("onnxruntime", model_with("onnx", folder, content))


def self_test_of_a_model(folder: Path, content: bytes) -> Any:
    return read_self_test(model_with(ROLE, folder, content))


READERS: dict[str, Reader] = {
    "checkpoint": of_file("last.pt", load_checkpoint),
    "public weights": of_file("public.pth", load_public_weights),
    "own weights": of_file("best.safetensors", load_weights),
    "array of a data set": of_file("image.npy", array),
    "archive of a data set": of_file("image.npz", lambda path: arrays(path, ("images", "mask"))),
    "weights of a model": weights_of_a_model,
    "graph of a model": graph_of_a_model,
    "self-test of a model": self_test_of_a_model,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_refused_and_nothing_happens(reader: str, kind: str, tmp_path: Path) -> None:
    proof = tmp_path / "it ran".replace(" ", "_")
    with pytest.raises((AnymodalError, OSError, ValueError)) as caught:
        READERS[reader](tmp_path, HOSTILE[kind](proof))
    assert not proof.exists()
    assert len(str(caught.value)) < 1000


def test_the_files_do_run_code_where_they_are_believed(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    for number, kind in enumerate(["pickle", "torch zip", "torch legacy"]):
        proof = tmp_path / str(number)
        content = HOSTILE[kind](proof)
        if kind == "pickle":
            pickle.loads(content)
        else:
            torch.load(io.BytesIO(content), weights_only=False)
        assert proof.exists()
    shutil.rmtree(tmp_path)
