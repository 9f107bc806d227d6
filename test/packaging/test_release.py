"""What is released can be built again by anybody, to the same bytes."""

from __future__ import annotations

import importlib.util
import os
import tarfile
import time
from pathlib import Path
from types import ModuleType

import pytest
from fixtures.checkout import HEAVY, copy_checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The release script, over a light copy of the checkout."""
    light = copy_checkout(project_root, tmp_path_factory.mktemp("light") / "source")
    for path in [path for path in light.rglob("*") if path.suffix in HEAVY]:
        path.unlink()
    spec = importlib.util.spec_from_file_location("release", project_root / ".ci" / "release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def checkout(folder: Path) -> Path:
        return copy_checkout(light, folder)

    module.checkout = checkout  # type: ignore[attr-defined]
    return module


def test_two_builds_at_different_times_are_the_same_bytes(
    release: ModuleType, tmp_path: Path
) -> None:
    time_s = 1_700_000_000
    first = release.build(_new(tmp_path / "first"), time_s)
    for path in (tmp_path / "first").iterdir():
        os.utime(path)
    time.sleep(2.1)  # zip counts in steps of two seconds
    second = release.build(_new(tmp_path / "second"), time_s)
    assert [path.name for path in first] == [path.name for path in second]
    assert [release.digest(path) for path in first] == [release.digest(path) for path in second]
    assert {path.suffix for path in first} == {".gz", ".whl"}
    (sdist,) = (path for path in first if path.suffix == ".gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert {member.mtime for member in members} == {time_s}
    assert any(member.name.endswith("setup.py") for member in members)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
