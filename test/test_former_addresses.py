"""Programs that import a module by its former address get the module that is there now."""

from __future__ import annotations

import importlib
import sys

import pytest

from anymodal_seg_ros.former_addresses import MOVED


@pytest.mark.parametrize("former", sorted(MOVED))
def test_a_former_address_gives_the_same_things_and_says_where_they_are(former: str) -> None:
    sys.modules.pop(former, None)
    now = importlib.import_module(MOVED[former])
    with pytest.warns(DeprecationWarning, match=MOVED[former]):
        module = importlib.import_module(former)
    public = [name for name in vars(now) if not name.startswith("_")]
    assert all(getattr(module, name) is getattr(now, name) for name in public)
    assert now.__name__ == MOVED[former]


@pytest.mark.parametrize("part", ["sensing", "inference"])
def test_nothing_else_is_found_there(part: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"anymodal_seg_ros.{part}.nonsense")
