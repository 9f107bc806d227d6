"""What must hold for every network in the registry."""

from __future__ import annotations

import sys

import pytest
import torch
from fixtures.zoo import (
    ARCHITECTURES,
    CLASSES,
    HEIGHT,
    MODALITIES,
    WIDTH,
    counts_of_sensors,
    network_of,
    sensors,
    shallow,
    without_chance,
)

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import (
    DeployedNetwork,
    build_network,
    network_names,
    upsample_logits,
    weights_sensors,
)

ORDERS = ([1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [3, 2, 0, 1])
"""Neighbours change places, of which every order can be made; and one in which all move."""

every_network = pytest.mark.parametrize("name", network_names())


def test_every_network_has_an_architecture_to_test() -> None:
    assert set(ARCHITECTURES) == set(network_names())


@every_network
def test_any_number_of_modalities(name: str) -> None:
    network = network_of(name)
    for modalities in counts_of_sensors(network):
        x, ids = sensors(network, modalities)
        with torch.inference_mode():
            logits = network(x, ids)
        assert logits.shape == (2, CLASSES, HEIGHT // 4, WIDTH // 4)
        assert torch.isfinite(logits).all()


@every_network
@pytest.mark.parametrize("size", [(192, 256), (33, 50), (70, 35), (161, 99)])
def test_odd_sizes_and_one_item(name: str, size: tuple[int, int]) -> None:
    network = network_of(name)
    x, ids = sensors(network, 2, 1, *size)
    with torch.inference_mode():
        logits = network(x, ids)
    assert logits.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert upsample_logits(logits, *size).shape == (1, CLASSES, *size)


@every_network
def test_shapes_of_a_published_size(name: str) -> None:
    """Without numbers: the images are on the meta device. Of whole depth in the page's tables."""
    with torch.device("meta"):
        architecture = {**ARCHITECTURES[name], "network": name, "backbone": shallow("mit_b2")}
        network = build_network(architecture, CLASSES, MODALITIES).eval()
    for batch, modalities, height, width in ((1, 1, 480, 640), (2, 4, 97, 130)):
        images = torch.empty(batch, modalities, 3, height, width, device="meta")
        logits = network(images, torch.arange(modalities))
        assert logits.shape == (batch, CLASSES, -(-height // 4), -(-width // 4))


@every_network
def test_the_order_of_the_modalities_does_not_matter(name: str) -> None:
    network = network_of(name)
    x, ids = sensors(network)
    with torch.inference_mode():
        expected = network(x, ids)
        for order in ORDERS:
            permuted = network(x[:, order], ids[order])
            torch.testing.assert_close(permuted, expected, rtol=1e-4, atol=1e-4)


@every_network
def test_two_sensors_of_one_kind_may_swap_places(name: str) -> None:
    network = network_of(name)
    if not network.set_like:
        pytest.skip("has one place for each kind")
    x, ids = sensors(network)[0], torch.tensor([0, 1, 0, 1])
    with torch.inference_mode():
        swapped = network(x[:, [2, 1, 0, 3]], ids)
        torch.testing.assert_close(swapped, network(x, ids), rtol=1e-4, atol=1e-4)


@every_network
def test_the_features_make_the_logits(name: str) -> None:
    network = network_of(name)
    x, ids = sensors(network)
    with torch.inference_mode():
        features = network.forward_features(x, ids)
        torch.testing.assert_close(network.decode(features, ids).logits, network(x, ids))
    assert len(features) == 4
    assert {f.shape[0] for f in features} == {2}
    (streams,) = {f.shape[1] for f in features}
    assert streams in (1, 4)
    assert not network.encodes_apart or streams == 4
    sizes = [tuple(f.shape[3:]) for f in features]
    assert sizes == [(HEIGHT // s, WIDTH // s) for s in (4, 8, 16, 32)]


@every_network
def test_what_each_sensor_counts_sums_to_one(name: str) -> None:
    network = network_of(name)
    for modalities in (1, 3):
        x, ids = sensors(network, modalities)
        with torch.inference_mode():
            shares = network.decode(network.forward_features(x, ids), ids).contributions
        if shares is None:
            pytest.skip("does not weight its sensors")
        assert shares.shape == (2, modalities, HEIGHT // 4, WIDTH // 4)
        assert (shares >= 0).all()
        torch.testing.assert_close(shares.sum(dim=1), torch.ones_like(shares[:, 0]))


@every_network
def test_an_absent_modality_leaves_no_trace(name: str) -> None:
    """A subset gives what it gives alone, whatever else the network saw before it."""
    network, fresh = network_of(name), network_of(name)
    x, ids = sensors(network)
    for subset in ([0], [2], [1, 3], [0, 1, 3]):
        with torch.inference_mode():
            network(x, ids)
            alone = fresh(x[:, subset], ids[subset])
            torch.testing.assert_close(network(x[:, subset], ids[subset]), alone)


@every_network
def test_a_part_of_the_features_is_the_part_of_the_sensors(name: str) -> None:
    network = network_of(name)
    if not network.encodes_apart:
        pytest.skip("its sensors see each other in the encoder")
    x, ids = sensors(network)
    for subset in ([2], [0, 3], [0, 1, 3]):
        with torch.inference_mode():
            kept = [f[:, subset] for f in network.forward_features(x, ids)]
            part = network.decode(kept, ids[subset]).logits
            alone = network(x[:, subset], ids[subset])
        torch.testing.assert_close(part, alone, rtol=1e-4, atol=1e-4)


@every_network
def test_items_of_a_batch_do_not_mix(name: str) -> None:
    network = network_of(name)
    x, ids = sensors(network, batch=3)
    with torch.inference_mode():
        together = network(x, ids)
        for item in range(3):
            alone = network(x[item : item + 1], ids)[0]
            torch.testing.assert_close(together[item], alone, rtol=1e-4, atol=1e-4)


@every_network
def test_gradients_reach_every_parameter(name: str) -> None:
    """All but frozen ones, and those of parts that the network says only a strategy uses."""
    network = without_chance(network_of(name))
    x, ids = sensors(network)
    decoded = network.decode(network.forward_features(x, ids), ids)
    decoded.logits.square().mean().backward()
    excused = {p for part in network.training_parts() for p in part.parameters()}
    without = [
        n
        for n, p in network.named_parameters()
        if p.requires_grad
        and p not in excused
        and (p.grad is None or not p.grad.isfinite().all() or not p.grad.abs().sum() > 0)
    ]
    assert without == []
    assert all(p.grad is None for p in excused), "a part for strategies alone is used by forward"


@every_network
def test_absent_kinds_have_no_gradient_of_their_own(name: str) -> None:
    """The rows of one kind must not be moved by images of another."""
    network = without_chance(network_of(name))
    x, ids = sensors(network)
    network(x[:, :2], ids[:2]).square().mean().backward()
    moved = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    assert not [n for n in moved if n.endswith((".rows.2", ".rows.3"))]


@every_network
def test_bf16_is_close_to_fp32(name: str) -> None:
    network = network_of(name)
    x, ids = sensors(network)
    with torch.inference_mode():
        exact = network(x, ids)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x, ids).float()
    assert (rough - exact).abs().max() < 0.06 * exact.abs().max()


@every_network
def test_a_network_may_be_bf16_altogether(name: str) -> None:
    network = network_of(name).bfloat16()
    x, ids = sensors(network)
    with torch.inference_mode():
        assert network(x.bfloat16(), ids).isfinite().all()


@every_network
@pytest.mark.parametrize("modalities", [1, 4])
def test_the_deployed_form_gives_the_same_classes(name: str, modalities: int) -> None:
    network = network_of(name)
    x, ids = sensors(network, modalities, batch=1)
    deployed = DeployedNetwork(network)
    with torch.inference_mode():
        expected = upsample_logits(network(x, ids), HEIGHT, WIDTH).argmax(1)[0]
        mask = deployed(x[0], ids)
    assert mask.dtype == torch.uint8 and mask.shape == (HEIGHT, WIDTH)
    assert mask.long().eq(expected).float().mean() > 0.999
    assert not deployed.training


@every_network
def test_deploying_leaves_the_network_alone(name: str) -> None:
    network = network_of(name).train()
    names = list(network.state_dict())
    DeployedNetwork(network)
    assert network.training and list(network.state_dict()) == names


@every_network
def test_a_new_kind_of_sensor_trains_alone(name: str) -> None:
    network = without_chance(network_of(name))
    if not network.set_like:
        with pytest.raises(ConfigError, match=r"'lidar'.*must be trained anew"):
            network.add_modality("lidar", like="depth")
        return
    network.requires_grad_(False)
    new = network.add_modality("lidar", like="depth")
    x, ids = sensors(network)
    with torch.inference_mode():
        as_lidar = network(x, torch.tensor([0, 1, 4, 3]))
        torch.testing.assert_close(as_lidar, network(x, ids), rtol=1e-4, atol=1e-4)
    if new:
        network(x, torch.tensor([0, 1, 4, 3])).square().mean().backward()
        with_gradient = {p for p in network.parameters() if p.grad is not None}
        assert with_gradient == set(new)
    with pytest.raises(ConfigError, match=r"'rgb' like 'depth': expected a new one"):
        network.add_modality("rgb", like="depth")


@every_network
def test_other_kinds_of_sensors_take_the_places_of_those_known(name: str) -> None:
    network = network_of(name)
    x, ids = sensors(network)
    with torch.inference_mode():
        expected = network(x, ids)
    network.replace_modalities({kind: kind for kind in network.modalities})
    with torch.inference_mode():
        assert torch.equal(network(x, ids), expected)
    like = {"disparity": "depth", "rgb": "rgb", "near": "rgb"}
    if not network.set_like:
        with pytest.raises(ConfigError, match=r"by disparity, rgb, near: .* trained anew"):
            network.replace_modalities(like)
        return
    with torch.inference_mode():
        expected = network(x[:, [2, 0, 1]], ids[[2, 0, 0]])
        network.replace_modalities(like)
        replaced = network(x[:, [2, 0, 1]], torch.tensor([0, 1, 2]))
        torch.testing.assert_close(replaced, expected, rtol=1e-4, atol=1e-4)
    assert network.modalities == ("disparity", "rgb", "near")
    fresh = build_network(
        {"network": name, **ARCHITECTURES[name]}, CLASSES, network.modalities
    ).state_dict()
    assert {n: t.shape for n, t in network.state_dict().items()} == {
        n: t.shape for n, t in fresh.items()
    }
    near, rgb = network.modality_parameters("near"), network.modality_parameters("rgb")
    assert not set(near) & set(rgb), "two kinds learn the same parameter"
    with pytest.raises(ConfigError, match=r"no modality 'thermal': expected one of disparity"):
        network.replace_modalities({"thermal": "thermal"})


@pytest.mark.parametrize("name", ["quorum", "late_fusion"])
def test_a_compiled_network_computes_the_same(name: str) -> None:
    """As one graph; without the code generator of inductor, which takes minutes.

    One that splits, and one with other code where ids are not known. Of the others the exporter
    asks the same; to compile them takes a minute.
    """
    torch._dynamo.reset()  # what it has compiled of other networks counts against a limit
    network = network_of(name)
    x, ids = sensors(network, 3, batch=1)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x, ids), network(x, ids), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("architecture", "complaint"),
    [
        ({"network": "nosuch"}, r"architecture.network is 'nosuch': expected one of anyseg"),
        ({}, r"architecture.network is None"),
        ({"network": ["anyseg"]}, r"architecture.network is \['anyseg'\]: expected one of"),
        ({"network": "anyseg", "backbone": "resnet"}, r"backbone is 'resnet'"),
        ({"network": "anyseg", "heads": 3}, r"unknown parameter architecture.heads"),
        ({"network": "anyseg", "head_width": 0}, r"architecture.head_width is 0"),
    ],
)
def test_a_wrong_architecture_is_named(architecture: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build_network(architecture, CLASSES, MODALITIES)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anymodal_seg_ros.networks.magic", None)
    with pytest.raises(ConfigError, match=r"'magic', whose libraries.*anymodal_seg_ros\[train\]"):
        build_network({"network": "magic"}, CLASSES, MODALITIES)


@every_network
def test_confidence_is_the_probability_of_the_class(name: str) -> None:
    network = network_of(name)
    network.temperature.fill_(2.0)
    x, ids = sensors(network, 3, batch=1)
    outputs = ["mask", "confidence", *(["contributions"] if weights_sensors(network) else [])]
    deployed = DeployedNetwork(network, outputs)
    with torch.inference_mode():
        decoded = network.decode(network.forward_features(x, ids), ids)
        values = dict(zip(deployed.outputs, deployed(x[0], ids), strict=True))
    probability = (decoded.logits / 2.0).softmax(dim=1).amax(dim=1)[0]
    assert values["confidence"].dtype == torch.uint8
    assert (values["confidence"] / 255 - probability).abs().max() < 0.6 / 255
    if decoded.contributions is not None:
        shares = decoded.contributions.mean(dim=(2, 3))[0]
        torch.testing.assert_close(values["contributions"], shares, rtol=1e-3, atol=1e-4)


def test_weights_from_before_there_was_a_temperature_load() -> None:
    network = network_of("anyseg")
    weights = network.state_dict()
    assert float(weights.pop("temperature")) == 1.0
    network.temperature.fill_(3.0)
    network.load_state_dict(weights)
    assert float(network.temperature) == 1.0
    weights["temperature"] = torch.tensor(1.5)
    network.load_state_dict(weights)
    assert float(network.temperature) == 1.5
