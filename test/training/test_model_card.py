"""What a model card says of its limits: never of a simulator where the data is somebody's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.tiny_training import TinyDataset, tiny_recipe

from anymodal_seg_training.commands.export import read_rival
from anymodal_seg_training.datasets.base import SYNTHETIC
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.model_card import model_card
from anymodal_seg_training.recipe import InitialWeights
from anymodal_seg_training.run_folder import RunFolder


class Drawn(TinyDataset):
    description = f"{SYNTHETIC} Two halves and a spot."


METRICS: dict[str, Any] = {
    "split": "test",
    "frames": 6,
    "protocol": "absent modalities skipped",
    "miou": {"rgb": 0.3, "rgb+depth": 0.5},
    "mean_over_subsets": 0.4,
    "class_iou": {
        "rgb": {"left": 0.4, "right": 0.1, "spot": 0.4},
        "rgb+depth": {"left": 0.9, "right": 0.4, "spot": 0.2},
    },
}


@pytest.mark.parametrize(
    ("dataset", "says", "leaves_out"),
    [
        (TinyDataset(), "data like the test split's", "simulator"),
        (Drawn(), "It has never seen a real image", "data like the test split's"),
    ],
)
def test_the_limits_are_those_of_the_data(dataset: TinyDataset, says: str, leaves_out: str) -> None:
    card = model_card(tiny_recipe(), dataset, METRICS, None, 1000)
    assert says in card and leaves_out not in card
    assert "- Its weakest classes: spot (20.0), right (40.0), left (90.0)." in card


def test_photographs_behind_the_first_weights_are_not_kept_quiet() -> None:
    begun = replace(tiny_recipe(), initial_weights=InitialWeights(encoder="imagenet.pth"))
    card = model_card(begun, Drawn(), METRICS, None, 1000)
    assert "| Begins with | imagenet.pth |" in card
    assert "It has never seen a real image" not in card
    assert "But for those that its encoder's first weights are of, it has never seen" in card


def test_the_benchmark_stands_in_the_card_if_it_was_measured() -> None:
    title = "## Missing and noisy sensors"
    assert title not in model_card(tiny_recipe(), TinyDataset(), METRICS, None, 1000)
    expected = {"average": 0.25, "E(0.1)": 0.45, "E(0.01)": 0.49}
    found = {
        "protocol": "absent modalities passed as zeros",
        "emm": expected,
        "rmm": {"0.5": {**expected, "average": 0.3}},
        "nm": {"low": 0.2, "mid": 0.1, "high": 0.05},
        "robustness_score": 0.333,
    }
    card = model_card(tiny_recipe(), TinyDataset(), {**METRICS, "benchmark": found}, None, 1000)
    section = card[card.index(title) :].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][1:] == [
        "| EMM: average | 25.0 |",
        "| EMM: E(0.1) | 45.0 |",
        "| RMM, 0.5 lost: average | 30.0 |",
        "| RMM, 0.5 lost: E(0.1) | 45.0 |",
        "| NM low | 20.0 |",
        "| NM mid | 10.0 |",
        "| NM high | 5.0 |",
        "| **robustness score** | **33.3** |",
    ]


def test_a_run_is_as_long_as_its_epochs_where_these_counted() -> None:
    recipe = tiny_recipe(steps=2000, epochs=2.5)
    card = model_card(recipe, TinyDataset(), METRICS, None, 1000)
    assert "| Training | 2.5 epochs in steps of 4 frames, seed 5, fp32;" in card
    assert "2000" not in card
    card = model_card(tiny_recipe(steps=2000), TinyDataset(), METRICS, None, 1000)
    assert "| Training | 2000 steps of 4 frames, seed 5, fp32;" in card
    card = model_card(tiny_recipe(steps=0), TinyDataset(), METRICS, None, 1000)
    assert "| Training | none: the weights are those that it begins with;" in card


def test_what_else_was_measured_of_a_subset_stands_beside_its_miou() -> None:
    plain = model_card(tiny_recipe(), TinyDataset(), METRICS, None, 1000)
    assert "| sensors alive | mIoU |\n|---|---:|\n| rgb | 30.0 |\n" in plain
    native = {"protocol": "in one piece", "miou": {"rgb": 0.2, "rgb+depth": 0.4}}
    found = {
        **METRICS,
        "native": {**native, "mean_over_subsets": 0.3},
        "calibration_error": {"rgb": 0.05, "rgb+depth": 0.01},
        "temperature": 1.25,
    }
    card = model_card(tiny_recipe(), TinyDataset(), found, None, 1000)
    assert [line for line in card.splitlines() if line.startswith(("| rgb", "| **mean"))][:3] == [
        "| rgb | 30.0 | 20.0 | 5.0 |",
        "| rgb+depth | 50.0 | 40.0 | 1.0 |",
        "| **mean over subsets** | **40.0** | **30.0** | **3.0** |",
    ]
    assert "In one piece." in card and "logits divided by 1.25." in card


def test_conditions_stand_in_the_card_where_frames_have_some() -> None:
    title = "## mIoU by condition"
    assert title not in model_card(tiny_recipe(), TinyDataset(), METRICS, None, 1000)
    fog = {"frames": 4, "all_sensors": 0.5, "mean_over_subsets": 0.4, "last_1": 0.1}
    found = {**METRICS, "conditions": {"weather": {"fog": fog}}}
    card = model_card(tiny_recipe(), TinyDataset(), found, None, 1000)
    assert title in card and "| weather: fog | 4 | 50.0 | 40.0 | 10.0 |" in card


def test_a_single_sensor_has_one_row_of_classes() -> None:
    alone = {**METRICS, "miou": {"rgb": 0.3}, "class_iou": {"rgb": METRICS["class_iou"]["rgb"]}}
    card = model_card(tiny_recipe(), TinyDataset(), alone, None, 1000)
    assert card.count("| rgb | 40.0 | 10.0 | 40.0 |") == 1


def test_a_name_of_a_class_breaks_no_table() -> None:
    odd = {"a|b": 0.5, "*bold*": 0.4, "<!-- gone": 0.3}
    card = model_card(tiny_recipe(), TinyDataset(), {**METRICS, "class_iou": {"rgb": odd}}, None, 1)
    header, rule = card[card.index("| sensors alive | a") :].splitlines()[:2]
    assert header == r"| sensors alive | a\|b | \*bold\* | \<!-- gone |"
    assert rule.count("|") == 5


def test_a_rival_that_was_measured_with_other_sensors_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "rival")
    run.create(tiny_recipe())
    run.write_json(run.result_file("test"), {**METRICS, "miou": {"rgb": 0.3}})
    with pytest.raises(TrainingError, match=r"cannot compare with .*not measured with rgb\+depth"):
        read_rival(run, METRICS)
    run.write_json(run.result_file("test"), METRICS)
    assert read_rival(run, METRICS).metrics == METRICS


def test_the_simulated_data_sets_say_that_they_are() -> None:
    pytest.importorskip("trimesh")
    from anymodal_seg_training.datasets.rig import RigDataset, RigOptions
    from anymodal_seg_training.datasets.rigbench import RigBenchDataset, RigBenchOptions

    for dataset in (RigDataset(RigOptions()), RigBenchDataset(RigBenchOptions())):
        assert dataset.description.startswith(SYNTHETIC)
