"""The sequential test: who is doubted, who is blamed, who is believed again, how often wrongly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fixtures.accords import accords, normal_accord
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.health.accord.contradiction import Chance, Contradiction, Usual
from anymodal_seg_ros.sensing.health.accord.normal_accord import dump_normal, parse_normal

NAMES = ("camera", "depth", "events", "warm")
KINDS = dict(zip(NAMES, ("rgb", "depth", "event", "thermal"), strict=True))
NORMAL = normal_accord(KINDS.values())
THRESHOLD = 9.0


def contradiction(threshold: float = THRESHOLD) -> Contradiction:
    return Contradiction(NORMAL, KINDS, threshold)


def play(
    test: Contradiction, looks: int, *liars: str, sensors: tuple[str, ...] = NAMES, seed: int = 0
) -> int | None:
    """Take so many looks; returns after how many somebody was doubted first."""
    dice = np.random.default_rng(seed)
    first = None
    for look in range(looks):
        test.look(accords(sensors, liars, dice))
        if test.doubted and first is None:
            first = look + 1
    return first


@pytest.mark.parametrize("liar", NAMES)
def test_the_one_that_contradicts_all_others_is_blamed_within_a_few_looks(liar: str) -> None:
    for seed in range(20):
        test = contradiction()
        assert play(test, 20, seed=seed) is None
        found = play(test, 10, liar, seed=100 + seed)
        assert found is not None
        assert found >= THRESHOLD / 3.0, "no single look decides"
        assert test.doubted == test.blamed == {liar}


def test_it_is_found_as_well_if_it_has_lied_from_the_first_look_on() -> None:
    test = contradiction()
    assert play(test, 10, "warm") is not None
    assert test.blamed == {"warm"}


def test_it_is_believed_again_after_several_looks_at_which_it_agrees() -> None:
    test = contradiction()
    play(test, 10, "camera")
    dice = np.random.default_rng(3)
    looks = 0
    while test.doubted:
        test.look(accords(NAMES, (), dice))
        looks += 1
    assert 3 <= looks <= 6


def test_of_two_that_disagree_both_are_doubted_and_none_is_blamed() -> None:
    test = contradiction()
    play(test, 10, "warm", sensors=("camera", "warm"))
    assert test.doubted == {"camera", "warm"}
    assert not test.blamed
    play(test, 12, sensors=("camera", "warm"))
    assert not test.doubted, "both are believed again once they agree"


def test_with_a_witness_it_is_known_who_of_the_two_it_was() -> None:
    test = contradiction()
    play(test, 10, "warm", sensors=("camera", "warm"))
    play(test, 10, "warm")
    assert test.doubted == test.blamed == {"warm"}


def test_who_has_the_liar_alone_to_vouch_for_it_is_not_blamed() -> None:
    test = contradiction()
    for look in range(40):
        shown = accords(NAMES, ("warm",) if look >= 20 else (), np.random.default_rng(look))
        for other in ("camera", "depth"):  # events agree with nobody but warm
            shown[other, "events"] = 3.0
        test.look(shown)
    assert "warm" in test.blamed
    assert "events" not in test.blamed or "warm" in test.blamed


def test_a_second_liar_is_found_while_two_others_vouch_for_each_other() -> None:
    test = contradiction()
    play(test, 10, "warm")
    play(test, 15, "warm", "events")
    assert test.blamed == {"warm", "events"}


def test_a_sensor_with_nothing_to_tell_is_not_judged() -> None:
    test = contradiction()
    assert play(test, 100, sensors=("camera", "depth", "warm")) is None
    assert "events" not in test.look(accords(("camera", "warm"), (), np.random.default_rng(0)))


def test_where_chance_looks_like_health_nobody_is_judged() -> None:
    kinds = ("rgb", "thermal")
    weak = normal_accord(kinds)
    usual = {key: Usual(u.mean, u.deviation, 6.0) for key, u in weak.usual.items()}
    test = Contradiction(
        type(weak)(usual, weak.chance, weak.looks), {"a": "rgb", "b": "thermal"}, THRESHOLD
    )
    for _ in range(50):
        assert not test.look({("a", "b"): 1.0})
    assert not test.doubted


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    order=st.permutations(NAMES),
    liar=st.sampled_from([None, *NAMES]),
)
def test_names_and_their_order_do_not_matter(seed: int, order: list[str], liar: str | None) -> None:
    """The same looks under other names end in the same doubts under those names."""
    renamed = dict(zip(NAMES, order, strict=True))
    kinds = {renamed[name]: kind for name, kind in KINDS.items()}
    one, other = contradiction(), Contradiction(NORMAL, kinds, THRESHOLD)
    dice = np.random.default_rng(seed)
    for look in range(25):
        shown = accords(NAMES, (liar,) if liar and look > 10 else (), dice)
        one.look(shown)
        swapped = {
            tuple(sorted((renamed[a], renamed[b]))): value for (a, b), value in shown.items()
        }
        other.look(swapped)  # type: ignore[arg-type]
        assert {renamed[name] for name in one.doubted} == other.doubted
        assert {renamed[name] for name in one.blamed} == other.blamed


@pytest.mark.parametrize("sensors", [NAMES, NAMES[:3], NAMES[:2]])
def test_false_alarms_are_rarer_than_the_threshold_promises(sensors: tuple[str, ...]) -> None:
    """Of healthy sensors whose looks are as was learned: at least e^threshold looks between two."""
    looks, alarms, threshold = 4000, 0, 4.0
    dice = np.random.default_rng(1)
    test = contradiction(threshold)
    for _ in range(looks):
        test.look(accords(sensors, (), dice))
        alarms += bool(test.doubted)
        for name in test.doubted:
            test.forget(name)
    assert alarms <= looks / math.exp(threshold)


@settings(max_examples=40, deadline=None)
@given(value=st.floats(0.0, 1e6), looks=st.integers(1, 60))
def test_one_look_never_decides_and_evidence_is_bounded(value: float, looks: int) -> None:
    test = contradiction()
    dice = np.random.default_rng(0)
    for _ in range(looks):
        test.look(accords(NAMES, (), dice))
    pairs = accords(NAMES, (), dice)
    held = test.look({pair: value if "warm" in pair else old for pair, old in pairs.items()})
    assert not test.doubted
    assert all(0.0 <= doubt.evidence <= 3.0 for doubt in held.values())


def test_what_was_learned_is_read_back_as_it_was_written() -> None:
    again = parse_normal(dump_normal(NORMAL))
    assert again.looks == NORMAL.looks
    assert set(again.usual) == set(NORMAL.usual)
    for key, usual in NORMAL.usual.items():
        assert again.usual[key].mean == pytest.approx(usual.mean, abs=1e-4)
        assert again.usual[key].seldom == usual.seldom
    assert [c.hardly for c in again.chance] == [c.hardly for c in NORMAL.chance]
    assert again.of("rgb", ["thermal"]) is not None
    assert again.of("rgb", ["radar"]) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "format 1"),
        ("{", "no JSON"),
        ('{"format": 1, "looks": 0, "usual": {}, "chance": []}', "looks is 0"),
        ('{"format": 1, "looks": 9, "usual": {}, "chance": []}', "usual is no object"),
        (
            '{"format": 1, "looks": 9, "usual": {"rgb": {}}, "chance": [1]}',
            "'rgb among depth.thermal'",
        ),
        (
            '{"format": 1, "looks": 9, "usual": {"rgb among x": {"mean": "a"}}, "chance": [1]}',
            r"usual.rgb among x.mean is 'a'",
        ),
        (
            '{"format": 1, "looks": 9, "usual": {"rgb among x": '
            '{"mean": 1, "deviation": 0, "seldom": 1}}, "chance": [1]}',
            "expected 0..20 and 0.001..20",
        ),
        (
            '{"format": 1, "looks": 9, "usual": {"rgb among x": '
            '{"mean": 1, "deviation": 1, "seldom": 1}}, "chance": [{"mean": 1, "deviation": 1, '
            '"often": 3, "hardly": 2}]}',
            "often <= hardly",
        ),
    ],
)
def test_a_damaged_file_says_where(content: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_normal(content)


def test_densities_are_those_of_normal_distributions() -> None:
    chance = Chance(1.0, 0.5, 3.0, 5.0)
    assert chance.log_density(1.0) == pytest.approx(-math.log(0.5))
    assert chance.log_density(1.0) - chance.log_density(1.5) == pytest.approx(0.5)
