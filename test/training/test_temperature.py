from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fixtures.tiny_training import CLASSES, TinyDataset, tiny_recipe
from fixtures.training_runs import run

from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_training.evaluation.calibration import ConfidenceCalibration
from anymodal_seg_training.evaluation.case_evaluation import case_confusions
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.split_evaluation import Evaluation
from anymodal_seg_training.evaluation.temperature import fit_temperature
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.runs.loop import Frames

CPU = torch.device("cpu")
RECIPE = tiny_recipe(steps=30, validate_every=30)


@pytest.fixture(scope="module")
def network(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> AnyModalNetwork:
    """Trained a little, so that it is right more often than not."""
    files = run(RECIPE, frames, tmp_path_factory.mktemp("runs") / "run")
    return load_best(files, len(CLASSES), CPU)


def fitted(network: AnyModalNetwork, frames: Frames) -> float:
    return fit_temperature(network, frames.validation, RECIPE, CPU)


def test_a_network_that_is_three_times_as_sure_gets_three_times_the_temperature(
    network: AnyModalNetwork, frames: Frames
) -> None:
    before = fitted(network, frames)
    with torch.no_grad():
        for parameter in network.head.classify.parameters():
            parameter.mul_(3.0)
    try:
        assert fitted(network, frames) == pytest.approx(3 * before, rel=1e-2)
        assert float(network.temperature) == 1.0, "the network was changed"
    finally:
        with torch.no_grad():
            for parameter in network.head.classify.parameters():
                parameter.div_(3.0)


def test_labels_are_less_surprising_at_it_than_beside_it(
    network: AnyModalNetwork, frames: Frames
) -> None:
    class Surprise:
        def __init__(self, temperature: float) -> None:
            self.temperature, self.total = temperature, 0.0

        def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
            loss = F.cross_entropy(logits / self.temperature, labels, ignore_index=255)
            self.total += float(loss)

    best = fitted(network, frames)
    found = []
    for temperature in (0.7 * best, best, 1.4 * best):
        meter, cases = Surprise(temperature), combinations(RECIPE.modality_names)
        case_confusions(
            network,
            frames.validation,
            torch.arange(len(frames.validation)).numpy(),
            cases,
            RECIPE,
            CPU,
            meters={case.key: meter for case in cases},
        )
        found.append(meter.total)
    assert found[1] < found[0] and found[1] < found[2]


def test_pixels_without_a_label_do_not_count() -> None:
    meter = ConfidenceCalibration(2)
    logits = torch.randn(1, 2, 8, 8)
    meter.update(logits, torch.full((1, 8, 8), 255))
    assert meter.error() != meter.error()  # NaN
    labels = torch.full((1, 8, 8), 255)
    labels[0, 0, 0] = int(logits[0, :, 0, 0].argmax())
    meter.update(100 * logits, labels)
    assert meter.error() == pytest.approx(0.0, abs=1e-3)


def test_logits_are_divided_by_the_temperature_before_they_are_judged() -> None:
    """Half of the pixels are right, at a confidence of e / (e + 1) where logits are halved."""
    logits = torch.tensor([2.0, 0.0])[None, :, None, None].expand(1, 2, 4, 4)
    labels = torch.zeros((1, 4, 4), dtype=torch.int64)
    labels[0, :2] = 1
    for temperature, confidence in ((1.0, 0.8808), (2.0, 0.7311)):
        meter = ConfidenceCalibration(2, temperature)
        meter.update(logits, labels)
        assert meter.error() == pytest.approx(confidence - 0.5, abs=1e-3)


def test_an_evaluation_judges_confidence_at_the_temperature_of_the_network(
    network: AnyModalNetwork, frames: Frames
) -> None:
    evaluation = Evaluation(RECIPE, network, frames.validation, CPU)
    plain = evaluation.combinations(TinyDataset(), "validation")
    network.temperature.fill_(50.0)  # nearly nothing is sure then
    try:
        unsure = evaluation.combinations(TinyDataset(), "validation")
    finally:
        network.temperature.fill_(1.0)
    assert (plain["temperature"], unsure["temperature"]) == (1.0, 50.0)
    assert plain["miou"] == unsure["miou"]
    whole = list(plain["miou"])[-1]
    assert unsure["calibration_error"][whole] > plain["calibration_error"][whole] + 0.1
