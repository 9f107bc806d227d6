"""Recipes, studies and layouts of strangers are refused in one line too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.hostile_yaml import HOSTILE

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_training.datasets.layout import load_layout
from anymodal_seg_training.recipe import load_recipe
from anymodal_seg_training.studies.study import load_study

READERS: dict[str, Callable[[Path], Any]] = {
    "recipe": load_recipe,
    "study": load_study,
    "layout": load_layout,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(reader: str, case: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(HOSTILE[case], encoding="utf-8")
    with pytest.raises(AnymodalError) as caught:
        READERS[reader](path)
    said = str(caught.value)
    assert len(said) < 500
    assert said.isprintable(), repr(said)
