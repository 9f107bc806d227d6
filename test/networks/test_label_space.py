from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.networks.label_space import LabelSpace

STREET = ("road", "person", "car")
INDOOR = ("floor", "pedestrian", "chair", "road")


def united() -> LabelSpace:
    return LabelSpace.unite({"street": STREET, "indoor": INDOOR}, synonyms={"pedestrian": "person"})


def test_equal_names_and_synonyms_are_one_class() -> None:
    space = united()
    assert space.classes == ("road", "person", "car", "floor", "chair")
    assert space.members == {"street": (0, 1, 2), "indoor": (3, 1, 4, 0)}


@given(st.lists(st.sampled_from([0, 1, 2, 3, UNLABELED]), min_size=1, max_size=20))
def test_labels_keep_their_names(ids: list[int]) -> None:
    space, labels = united(), torch.tensor(ids, dtype=torch.uint8)
    there = space.to_union(labels, "indoor")
    assert there.dtype == torch.int64
    names = [None if i == UNLABELED else INDOOR[i].replace("pedestrian", "person") for i in ids]
    assert [None if i == UNLABELED else space.classes[i] for i in there.tolist()] == names


@pytest.mark.parametrize(
    ("datasets", "synonyms", "complaint"),
    [
        ({}, {}, r"have 0 classes together: expected 1 to 255"),
        ({"a": [str(i) for i in range(256)]}, {}, r"have 256 classes together"),
        ({"a": ["car", "truck"]}, {"truck": "car"}, r"'a' has two classes that mean 'car'"),
        ({"a": ["car"]}, {"cra": "car"}, r"synonym 'cra' is no class of any data set"),
    ],
)
def test_what_cannot_be_united_is_named(
    datasets: dict[str, list[str]], synonyms: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        LabelSpace.unite(datasets, synonyms)


def test_wrong_labels_and_data_sets_are_named() -> None:
    with pytest.raises(ConfigError, match=r"a label is 3, but data set 'street' has.* 0 to 2"):
        united().to_union(torch.tensor([1, 3]), "street")
    with pytest.raises(ConfigError, match=r"a label is -1"):
        united().to_union(torch.tensor([-1]), "street")
    with pytest.raises(ConfigError, match=r"'sea': expected one of indoor, street"):
        united().to_union(torch.tensor([0]), "sea")
