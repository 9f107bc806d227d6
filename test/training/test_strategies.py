"""Every strategy trains what it should, from the data that it should see."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as distributed
import torch.nn.functional as F
from fixtures.tiny_training import CLASSES, tiny_recipe
from fixtures.zoo import SHALLOW

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.charm import Charm
from anymodal_seg_ros.networks.magic import ModalitySelection, correlate
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.loop import Learner
from anymodal_seg_training.strategies import build_strategy, strategy_names
from anymodal_seg_training.strategies.base import Setting, Strategy
from anymodal_seg_training.strategies.criterion import Criterion, CriterionOptions
from anymodal_seg_training.strategies.magic import inconsistency

FOUR = tiny_recipe().modality_names
CPU = torch.device("cpu")
NETWORKS = {
    "charm": "charm",
    "equiseg": "equiseg",
    "magic": "magic",
    "quorum": "quorum",
    "segrgbx": "segrgbx",
    "segrgbx_clip": "segrgbx",
}
"""The network of each strategy, where it is not any that keeps the modalities apart."""

OPTIONS: dict[str, dict[str, Any]] = {
    "segrgbx": {"ma_clip": "random"},
    "segrgbx_clip": {"clip_weights": "random", "text_weight": 0.0},
}
"""What a strategy cannot do without."""


def setting() -> Setting:
    return Setting(FOUR, np.full(len(CLASSES), 1 / len(CLASSES)), CPU)


@pytest.mark.parametrize("loss", ["cross_entropy", "ohem"])
@pytest.mark.parametrize("dataset", ["", "streets"])
def test_a_batch_without_a_label_costs_nothing_and_teaches_nothing(loss: str, dataset: str) -> None:
    """A crop may lie where nothing is labelled; of mixed data sets some classes are ruled out."""
    known = dataclasses.replace(setting(), known={"streets": (0, 2)})
    logits = torch.randn(1, len(CLASSES), 8, 8, requires_grad=True)
    found = Criterion(CriterionOptions(loss=loss), known)(
        logits, torch.full((1, 32, 32), 255), dataset
    )
    found.backward()
    assert found.item() == 0.0 and logits.grad is not None and (logits.grad == 0.0).all()


def test_cross_entropy_is_the_weighted_mean_over_the_labelled_pixels() -> None:
    frequencies = np.array([0.9, 0.1, 0.0])
    criterion = Criterion(CriterionOptions(class_balance=0.5), Setting(FOUR, frequencies, CPU))
    logits, labels = torch.randn(2, 3, 16, 16), torch.randint(0, 2, (2, 16, 16))
    labels[0, :5] = 255
    weights = torch.tensor([0.9**-0.5, 0.1**-0.5, 1.0])
    expected = F.cross_entropy(logits, labels, weights, ignore_index=255)
    torch.testing.assert_close(criterion(logits, labels), expected)


def test_what_must_not_be_missed_counts_more_beside_its_rarity() -> None:
    people = Setting(FOUR, np.array([0.75, 0.25]), CPU, classes=("road", "person"))
    options = CriterionOptions(class_balance=0.5, emphasised=("person",), emphasis=3.0)
    logits, labels = torch.randn(2, 2, 16, 16), torch.randint(0, 2, (2, 16, 16))
    weights = torch.tensor([0.75**-0.5, 3.0 * 0.25**-0.5])
    expected = F.cross_entropy(logits, labels, weights)
    torch.testing.assert_close(Criterion(options, people)(logits, labels), expected)
    with pytest.raises(ConfigError, match=r"'persons'.*did you mean person\? there are road"):
        Criterion(dataclasses.replace(options, emphasised=("persons",)), people)


def network_of(strategy: str, seed: int = 0) -> AnyModalNetwork:
    torch.manual_seed(seed)
    name = NETWORKS.get(strategy, "anyseg")
    architecture = {"network": name, "backbone": SHALLOW, "head_width": 16}
    if name == "segrgbx":
        architecture |= {"clip": "tiny-random"}
    network = build_network(architecture, len(CLASSES), FOUR)
    if name == "segrgbx":  # its gates begin at zero, and nothing gets through a closed one
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return network


def batch(seed: int = 0, frames: int = 2) -> Batch:
    torch.manual_seed(seed)
    labels = torch.randint(0, len(CLASSES), (frames, 32, 64))
    labels[:, :2] = 255
    # Smooth pictures: against these, noise and levels can be told from what a sensor sees.
    images = F.interpolate(torch.randn(frames * 4, 3, 4, 8), (32, 64), mode="bilinear")
    return Batch(images.unflatten(0, (frames, 4)), torch.arange(4), labels)


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    """A run folder with weights."""
    run = RunFolder(tmp_path / "teacher")
    run.create(tiny_recipe())
    save_weights(run.best_file, network_of("anyseg", seed=9).state_dict())
    return str(run.path)


def build(name: str, teacher: str, **options: Any) -> Strategy:
    section = {"name": name, **OPTIONS.get(name, {}), **options}
    if name == "anyseg":
        section["teacher"] = teacher
    return build_strategy(section, setting())


every_strategy = pytest.mark.parametrize("name", strategy_names())


@every_strategy
def test_a_step_gives_a_finite_loss_and_gradients_everywhere(name: str, teacher: str) -> None:
    network = network_of(name).train()
    strategy = build(name, teacher)
    strategy.prepare(network)
    for step in range(6):  # between them, the subsets have every modality
        found = strategy.loss(network, batch(step), np.random.default_rng(step))
        assert torch.isfinite(found.total) and found.total.ndim == 0
        if found.parts:
            torch.testing.assert_close(
                sum(found.parts.values()),
                found.total.detach(),
                rtol=1e-4,
                atol=1e-5,
            )
        assert not any(part.requires_grad for part in found.parts.values())
        found.total.backward()
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    untouched = [name for name, p in trained if p.grad is None or not p.grad.any()]
    assert trained and not untouched


@every_strategy
def test_the_same_generator_gives_the_same_loss(name: str, teacher: str) -> None:
    network, strategy = network_of(name).eval(), build(name, teacher)
    strategy.prepare(network)
    losses = [
        strategy.loss(network, batch(), np.random.default_rng(7)).total.item() for _ in range(2)
    ]
    assert losses[0] == losses[1]
    others = {
        strategy.loss(network, batch(), np.random.default_rng(n)).total.item() for n in range(9)
    }
    assert len(others) > 1 or name in ("supervised", "segrgbx", "segrgbx_clip", "magic")


@every_strategy
def test_what_a_strategy_keeps_brings_it_back(name: str, teacher: str) -> None:
    network = network_of(name).eval()
    one, other = build(name, teacher), build(name, teacher)
    for strategy in (one, other):
        strategy.prepare(network)
    for step in range(3):
        one.loss(network, batch(step), np.random.default_rng(step))
    other.restore(one.state())
    found = [s.loss(network, batch(5), np.random.default_rng(5)).total.item() for s in (one, other)]
    assert found[0] == found[1]


def test_the_teacher_of_anyseg_learns_nothing_and_must_fit(teacher: str, tmp_path: Path) -> None:
    strategy = build("anyseg", teacher)
    own = strategy._teacher  # type: ignore[attr-defined]
    before = {name: value.clone() for name, value in own.state_dict().items()}
    network = network_of("anyseg").train()
    strategy.loss(network, batch(), np.random.default_rng(0)).total.backward()
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert all(parameter.grad is None for parameter in own.parameters())
    with pytest.raises(ConfigError, match=r"strategy.teacher is missing"):
        build_strategy({"name": "anyseg"}, setting())
    with pytest.raises(ConfigError, match=r"no run folder"):
        build_strategy({"name": "anyseg", "teacher": str(tmp_path / "none")}, setting())
    fewer = dataclasses.replace(setting(), modalities=("rgb", "depth"))
    with pytest.raises(ConfigError, match=r"expected rgb, depth"):
        build_strategy({"name": "anyseg", "teacher": teacher}, fewer)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn_from_it(teacher: str) -> None:
    strategy = build("anyseg", teacher)
    twin = network_of("anyseg", seed=9).eval()
    one = batch(frames=1)
    found = [strategy.loss(twin, one, np.random.default_rng(n)).parts for n in range(12)]
    assert all(parts["unimodal"] < 1e-5 and parts["cross_modal"] < 1e-5 for parts in found)
    whole = min(float(parts["prediction"]) for parts in found)  # of a draw of all modalities
    assert whole < 1e-5 < max(float(parts["prediction"]) for parts in found)


def test_quorum_learns_to_give_a_liar_less_weight(teacher: str) -> None:
    """Only the part of the loss that says so is left, and it goes down."""
    torch.manual_seed(0)
    network = network_of("quorum").train()
    strategy = build("quorum", teacher, lying=1.0, whole_weight=0.0, part_weight=0.0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        found = strategy.loss(network, batch(), np.random.default_rng(1))
        found.total.backward()
        optimiser.step()
        losses.append(found.total.item())
    assert losses[-1] < 0.5 * losses[0]


def test_what_all_sensors_of_quorum_predict_can_teach_the_parts(teacher: str) -> None:
    network, one = network_of("quorum").eval(), batch()
    plain, taught = (
        build("quorum", teacher, prediction_weight=weight).loss(
            network, one, np.random.default_rng(0)
        )
        for weight in (0.0, 2.0)
    )
    assert "prediction" not in plain.parts
    assert taught.parts["prediction"] > 0.0
    torch.testing.assert_close(taught.total - taught.parts["prediction"], plain.total)


def test_a_network_that_was_trained_before_can_teach_the_whole_of_quorum(teacher: str) -> None:
    network, one = network_of("quorum").eval(), batch()
    plain, taught = (
        build_strategy({"name": "quorum", "lying": 0.0, "suffering": 0.0, **more}, setting()).loss(
            network, one, np.random.default_rng(0)
        )
        for more in ({}, {"teacher": teacher, "teacher_weight": 3.0})
    )
    assert "teacher" not in plain.parts
    torch.testing.assert_close(taught.total - taught.parts["teacher"], plain.total)
    criterion = Criterion(CriterionOptions(), setting())
    with torch.inference_mode():
        example = network_of("anyseg", seed=9).eval()(one.images, one.modality_ids)
        expected = 3.0 * criterion.soft(network(one.images, one.modality_ids), example)
    torch.testing.assert_close(taught.parts["teacher"], expected)


def test_who_teaches_quorum_sees_what_was_not_spoiled(teacher: str) -> None:
    network, one = network_of("quorum").eval(), batch()
    section = {"name": "quorum", "teacher": teacher, "lying": 1.0, "suffering": 1.0}
    strategy = build_strategy(section, setting())
    seen: dict[bool, torch.Tensor] = {}
    for who in (network, strategy._teacher):  # type: ignore[attr-defined]
        encode = who.forward_features

        def noting(images: torch.Tensor, ids: torch.Tensor, who=who, encode=encode) -> Any:
            seen[who is network] = images
            return encode(images, ids)

        who.forward_features = noting
    strategy.loss(network, one, np.random.default_rng(0))
    assert torch.equal(seen[False], one.images) and not torch.equal(seen[True], one.images)


def test_soft_labels_weigh_as_hard_ones_do() -> None:
    frequencies = np.array([0.7, 0.2, 0.1])
    criterion = Criterion(CriterionOptions(class_balance=0.5), Setting(FOUR, frequencies, CPU))
    torch.manual_seed(0)
    logits, taught = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 6, requires_grad=True)
    weights = torch.tensor(frequencies**-0.5 / (frequencies**-0.5).mean())[:, None, None]
    shares, told = taught.detach().softmax(1), logits.log_softmax(1)
    found = criterion.soft(logits, taught)
    torch.testing.assert_close(found.double(), -(weights * shares * told).sum(1).mean())
    assert not found.requires_grad


def test_a_class_that_never_occurs_makes_no_other_one_lighter() -> None:
    """Soft labels would weigh as little as the weight of such a class is large."""
    some = np.array([0.7, 0.2, 0.1])
    torch.manual_seed(0)
    logits, taught = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6)
    taught[:, 3:] = logits[:, 3:] = -1e4  # nobody ever told these two
    options = CriterionOptions(class_balance=0.5)
    expected = Criterion(options, Setting(FOUR, some, CPU)).soft(logits[:, :3], taught[:, :3])
    five = Setting(FOUR, np.append(some, [0.0, 0.0]), CPU)
    torch.testing.assert_close(Criterion(options, five).soft(logits, taught), expected)


def test_quorum_decodes_each_sensor_alone_and_some(teacher: str) -> None:
    strategy = build("quorum", teacher)
    generator = np.random.default_rng(0)
    draws = [strategy._draw_parts(generator, 4, []) for _ in range(60)]  # type: ignore[attr-defined]
    assert all(parts[:4] == [[0], [1], [2], [3]] and len(parts) == 5 for parts in draws)
    assert {tuple(parts[4]) for parts in draws} >= {(0, 1), (2, 3), (0, 1, 2), (1, 2, 3)}


@pytest.mark.parametrize("parts", ["each_and_some", "random_subset"])
def test_in_every_part_of_quorum_somebody_is_honest(parts: str, teacher: str) -> None:
    strategy = build("quorum", teacher, parts=parts)
    generator = np.random.default_rng(0)
    for modalities in (1, 2, 3, 4):
        for _ in range(60):
            liars = sorted(generator.permutation(modalities)[: generator.integers(modalities)])
            drawn = strategy._draw_parts(generator, modalities, liars)  # type: ignore[attr-defined]
            assert drawn and all(set(part) - set(liars) for part in drawn)
            assert all(set(part) <= set(range(modalities)) for part in drawn)


def test_judging_learns_slower_than_seeing(teacher: str) -> None:
    network, strategy = network_of("quorum"), build("quorum", teacher)
    rates = {name: strategy.rate_of(name) for name, _ in network.named_parameters()}
    slow = {name for name, rate in rates.items() if rate < 1.0}
    assert slow == {name for name in rates if name.startswith("scorers.")} and slow


@pytest.mark.parametrize(
    ("name", "option", "all_of_them"),
    [
        ("equiseg", "modalities", "all"),
        ("segrgbx", "modalities", "all"),
        ("supervised", "modality_dropout", "none"),
    ],
)
def test_a_strategy_is_judged_by_the_subsets_that_it_trains(
    name: str, option: str, all_of_them: str, teacher: str
) -> None:
    whole, some = (build(name, teacher, **{option: of}) for of in (all_of_them, "random_subset"))
    generator = np.random.default_rng(0)
    assert whole.modalities(generator, FOUR) == FOUR
    assert whole.validation_subsets(FOUR) == [FOUR]
    drawn = {some.modalities(generator, FOUR) for _ in range(400)}
    assert drawn == set(some.validation_subsets(FOUR)) and len(drawn) == 15


@pytest.mark.parametrize("name", ["anyseg", "equiseg", "quorum"])
def test_a_network_that_mixes_its_sensors_early_is_refused(name: str, teacher: str) -> None:
    architecture = {"network": "cmnext", "backbone": SHALLOW, "head_width": 16}
    mixing = build_network(architecture, len(CLASSES), FOUR)
    strategy = build(name, teacher)
    with pytest.raises(ConfigError, match="CMNeXt mixes the modalities in its encoder"):
        strategy.loss(mixing, batch(), np.random.default_rng(0))


@pytest.mark.parametrize(("sampling", "often"), [("softmin", 2), ("softmax", 0), ("uniform", None)])
def test_charm_draws_the_modality_alone_by_its_robustness(
    sampling: str, often: int | None, teacher: str
) -> None:
    strategy = build("charm", teacher, sampling=sampling)
    generator = np.random.default_rng(0)
    draws = [
        strategy._draw(torch.tensor([3.0, 1.0, -1.0]), generator)  # type: ignore[attr-defined]
        for _ in range(600)
    ]
    shares = np.bincount(draws, minlength=3) / len(draws)
    expected = np.exp(-np.array([3.0, 1.0, -1.0]) * {"softmin": 1, "softmax": -1}.get(sampling, 0))
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.06)
    assert often is None or int(shares.argmax()) == often


def test_charm_says_how_likely_each_modality_was(teacher: str) -> None:
    found = build("charm", teacher).loss(network_of("charm"), batch(), np.random.default_rng(0))
    assert set(found.notes) == {f"chance_{name}" for name in FOUR}
    assert float(sum(found.notes.values())) == pytest.approx(1.0)
    learner = Learner(network_of("charm"), build("charm", teacher), seed=1)
    example = batch()
    logged = learner(example.images, example.modality_ids, example.labels, "", 0)
    assert set(logged) >= {"loss", "loss_individual", "chance_rgb"}


def test_charm_draws_by_the_robustness_in_all_processes(
    teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of one process, in which the sum over all of two is played."""
    other = torch.tensor([0.5, -0.5, 2.0, 1.0])

    def add_other(values: torch.Tensor) -> None:
        values.add_(other if values.ndim else values)  # as many pixels are labelled there as here

    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    monkeypatch.setattr(distributed, "all_reduce", add_other)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    try:
        network, strategy = network_of("charm").eval(), build("charm", teacher)
        strategy.loss(network, batch(), np.random.default_rng(0))
    finally:
        distributed.destroy_process_group()
    assert isinstance(network, Charm)
    own = network.robustness(network.forward_features(batch().images, torch.arange(4)))
    torch.testing.assert_close(strategy.state()["robustness"], (own + other) / 2)


def test_charm_in_a_network_that_is_not_its_own_is_refused(teacher: str) -> None:
    with pytest.raises(ConfigError, match="AnySeg has no robustness evaluator"):
        build("charm", teacher).loss(network_of("anyseg"), batch(), np.random.default_rng(0))


def test_magic_correlates_as_finely_in_bf16() -> None:
    """Sensors that correlate nearly alike are told apart; bf16 itself ends at 1/256."""
    torch.manual_seed(0)
    fused = torch.randn(2, 16, 12, 12).bfloat16()
    maps = (fused[:, None] + 0.05 * torch.randn(2, 3, 16, 12, 12)).bfloat16()
    found, expected = correlate([maps], [fused]), correlate([maps.float()], [fused.float()])
    torch.testing.assert_close(found, expected)


def test_magic_compares_what_was_not_selected_and_nothing_else(teacher: str) -> None:
    rows = torch.tensor([[0, 1], [2, 0]])
    whole = torch.tensor([[0.9, 0.1, 0.5, 0.4], [0.1, 0.6, 0.9, 0.3]])
    other = torch.tensor([[0.0, 0.0, 0.3, 0.4], [0.0, 0.6, 0.0, 0.7]])
    expected = (0.2**2 + 0.0 + 0.0 + 0.4**2) / 4
    found = inconsistency(ModalitySelection(rows, torch.empty(0), whole, other))
    assert float(found) == pytest.approx(expected)
    all_selected = ModalitySelection(rows[:1], torch.empty(0), whole[:1, :2], other[:1, :2])
    assert float(inconsistency(all_selected)) == 0.0
    step = build("magic", teacher).loss(network_of("magic"), batch(), np.random.default_rng(0))
    assert set(step.parts) == {"whole", "selected", "consistency"}
    with pytest.raises(ConfigError, match="AnySeg selects no sensors"):
        build("magic", teacher).loss(network_of("anyseg"), batch(), np.random.default_rng(0))


def test_sets_of_sensors_are_drawn_as_often_as_they_are_named() -> None:
    """A kind whose pictures are varied more than others' needs steps of its own."""
    options = {"name": "supervised", "sets": ["rgb", "rgb", "thermal+rgb", "event"]}
    strategy = build_strategy(options, setting())
    generator = np.random.default_rng(3)
    drawn = [strategy.modalities(generator, FOUR) for _ in range(400)]
    assert set(drawn) == {("rgb",), ("rgb", "thermal"), ("event",)}
    assert drawn.count(("rgb",)) == pytest.approx(200, abs=40)
    assert strategy.validation_subsets(FOUR) == [("rgb",), ("rgb", "thermal"), ("event",)]
    assert strategy.validation_subsets(("rgb", "depth")) == [("rgb",)]


@pytest.mark.parametrize("wrong", ["rgb+rgb", "lidar", "", "rgb+"])
def test_sets_of_other_sensors_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.sets has .*rgb, thermal, depth, event"):
        build_strategy({"name": "supervised", "sets": ["rgb", wrong]}, setting())


def test_sets_that_do_not_suit_are_named() -> None:
    strategy = build_strategy({"name": "supervised", "sets": ["event"]}, setting())
    with pytest.raises(ConfigError, match="no set of sensors among rgb, depth"):
        strategy.validation_subsets(("rgb", "depth"))
    with pytest.raises(ConfigError, match="needs modality_dropout: random_subset"):
        build_strategy(
            {"name": "supervised", "modality_dropout": "none", "sets": ["rgb"]}, setting()
        )
