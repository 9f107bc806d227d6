"""A self-test that lies about what it holds: refused in a line, whatever it claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.numpy_files import npy, npz

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.verification.self_test import SelfTest, read_self_test

IMAGES = np.zeros((5, 3, 8, 12), np.float16)
MASKS = np.zeros((31, 2, 3), np.uint8)


def encrypted(archive: bytes) -> bytes:
    """Say of the first member that it is encrypted, in the table of contents."""
    at = archive.index(b"PK\x01\x02") + 8
    return archive[:at] + b"\x01" + archive[at + 1 :]


def model_with(folder: Path, role: str, content: bytes) -> Model:
    (folder / "file").write_bytes(content)
    files = {role: FileSpec("file", sha256(folder / "file"))}
    dump_manifest(replace(small_manifest(), files=files), folder)
    return load_model(str(folder))


GOOD = SelfTest(IMAGES, MASKS).packed()
LIES = {
    "more than any machine has": npz(images=npy((10**12,), "|u1", b"x")),
    "more than 64 bits": npz(images=npy((2**40, 2**40), "<f2", b"x")),
    "a negative size": npz(images=npy((-1, 3, 8, 12), "<f2")),
    "objects": npz(images=npy((1,), "|O", b"x")),
    "a bomb": npz(images=npy((10**8,), "|u1") + bytes(10**8)),
    "too little": npz(images=npy((5, 3, 8, 12), "<f2", b"x")),
    "another type": npz(images=npy((5, 3, 8, 12), "<f4", bytes(5 * 3 * 8 * 12 * 4))),
    "no array": npz(images=b"abc"),
    "a header of brackets": npz(images=b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
    "nothing": npz(),
    "an unknown packing": GOOD.replace(b"\x08\x00\x00\x00", b"\x63\x00\x00\x00"),
    "an encrypted member": encrypted(GOOD),
    "an array alone": npy((1,), "|u1", b"0"),
    "a pickle": b"\x80\x04.",
    "half of it": GOOD[: len(GOOD) // 2],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_costs_one_line(lie: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*file: .*export the model again") as said:
        read_self_test(model_with(tmp_path, "self_test", LIES[lie]))
    assert len(str(said.value)) < 500


def test_the_truth_is_read(tmp_path: Path) -> None:
    test = read_self_test(model_with(tmp_path, "self_test", GOOD))
    assert test is not None
    np.testing.assert_array_equal(test.images, IMAGES)
    np.testing.assert_array_equal(test.masks, MASKS)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b" " * 2_000_000,
        b'{"format": 1, "looks": 5, "usual": {"a among b": {"mean": ' + b"9" * 400 + b"}}, "
        b'"chance": [{}]}',
    ],
)
def test_an_agreement_that_is_none_costs_one_line(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="make it anew with 'anymodal-train agreement'") as said:
        load_agreement(model_with(tmp_path, "agreement", content))
    assert len(str(said.value)) < 500
