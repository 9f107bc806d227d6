"""What is learned of the accord of sensors: enough to find a liar among them, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.drives import drive
from fixtures.manifests import small_manifest
from fixtures.tiny_model import write_tiny_model

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.sensing.health.accord.contradiction import NormalAccord
from anymodal_seg_training.commands import agreement
from anymodal_seg_training.commands.agreement import Drive, learn, summary
from anymodal_seg_training.errors import TrainingError

KINDS = ("rgb", "thermal", "depth")


def recorded(first: int, kinds: tuple[str, ...] = KINDS, looks: int = 9) -> Drive:
    return {kind: [drive(kind, first + k) for k in range(looks)] for kind in kinds}


@pytest.fixture(scope="module")
def normal() -> NormalAccord:
    return learn([recorded(0), recorded(40)], small_manifest())


def test_worlds_agree_more_than_chance_and_all_sets_are_there(normal: NormalAccord) -> None:
    assert set(normal.usual) == {
        (kind, others)
        for kind in KINDS
        for others in [
            *((other,) for other in sorted(KINDS) if other != kind),
            tuple(sorted(set(KINDS) - {kind})),
        ]
    }
    assert [math.expm1(chance.mean) < 5.0 for chance in normal.chance] == [True, True]
    assert all(math.expm1(usual.mean) > 15.0 for usual in normal.usual.values())
    assert normal.looks == 2 * 6
    assert normal.of("rgb", ["depth", "thermal"]) is not None


def test_the_summary_says_who_cannot_be_judged(normal: NormalAccord) -> None:
    assert "rgb among depth, thermal: usually" in summary(normal)
    assert "too little" not in summary(normal)


def test_sensors_that_never_agree_are_not_judged() -> None:
    def noise(seed: int) -> list[Image]:
        dice = np.random.default_rng(seed)
        scenes = [drive("thermal", int(k)) for k in dice.integers(0, 500, 9)]
        return [Image(np.ascontiguousarray(s.pixels[::-1]), s.encoding) for s in scenes]

    unrelated = [{**recorded(10 * s, ("rgb",)), "thermal": noise(s)} for s in range(2)]
    learned = learn(unrelated, small_manifest())
    assert learned.of("rgb", ["thermal"]) is None
    assert "too little to judge it by" in summary(learned)


@pytest.mark.parametrize("drives", [[], [recorded(0)], [recorded(0, ("rgb",))] * 2])
def test_one_drive_or_one_kind_is_not_enough(drives: list[Drive]) -> None:
    with pytest.raises(TrainingError, match="at least two"):
        learn(drives, small_manifest())


def test_the_command_writes_into_the_models_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_model(tmp_path / "model")
    assert load_agreement(load_model(str(folder))) is None

    def drawn(*_: object) -> list[Drive]:
        return [recorded(0), recorded(40)]

    fake: Callable[..., list[Drive]] = drawn
    monkeypatch.setattr(agreement, "drawn", fake)
    result = CliRunner().invoke(agreement.main, [str(folder), "--places", "2"])
    assert result.exit_code == 0, result.output
    assert "learned from 12 looks" in result.output
    found = load_agreement(load_model(str(folder)))
    assert found is not None
    assert found.kinds == set(KINDS)
