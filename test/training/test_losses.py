"""The losses of the published methods do what their formulas say."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymodal_seg_training.losses.distillation import (
    CROSS_MODAL_FEATURES,
    UNIMODAL_AXES,
    cross_modal_distillation,
    prediction_distillation,
    similarities,
    unimodal_distillation,
)
from anymodal_seg_training.losses.ohem import ohem_cross_entropy
from anymodal_seg_training.losses.prototypes import (
    class_prototypes,
    prototype_distillation,
)

CLASSES = 5


def logits(seed: int = 0, spread: float = 2.0) -> Tensor:
    torch.manual_seed(seed)
    return spread * torch.randn(2, CLASSES, 6, 8)


def pyramid(seed: int = 0, modalities: int = 3) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(2, modalities, 4 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(3)]


def some_labels(seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    labels = torch.randint(0, CLASSES, (2, 16, 16))
    labels[:, :2] = 255
    return labels


def test_ohem_takes_the_hard_pixels_and_no_others() -> None:
    x, labels = logits(), torch.randint(0, CLASSES, (2, 6, 8))
    labels[0, :3] = 255
    each = F.cross_entropy(x, labels, ignore_index=255, reduction="none")[labels != 255]
    hard = each[each > -math.log(0.7)]
    assert len(hard) > len(each) // 16
    torch.testing.assert_close(ohem_cross_entropy(x, labels), hard.mean())


def test_ohem_of_an_easy_batch_takes_the_hardest_sixteenth() -> None:
    labels = torch.randint(0, CLASSES, (2, 6, 8))
    x = 9.0 * F.one_hot(labels, CLASSES).permute(0, 3, 1, 2) + 0.1 * logits()
    each = F.cross_entropy(x, labels, reduction="none").flatten()
    torch.testing.assert_close(ohem_cross_entropy(x, labels), each.topk(96 // 16).values.mean())


def test_ohem_without_a_label_is_zero_and_still_has_a_gradient() -> None:
    x = logits().requires_grad_()
    loss = ohem_cross_entropy(x, torch.full((2, 6, 8), 255))
    loss.backward()
    assert loss.item() == 0.0 and x.grad is not None and (x.grad == 0).all()


def test_prediction_distillation_is_a_kth_of_the_divergence_per_pixel() -> None:
    student, teacher = logits(0), logits(1)
    per_pixel = (
        F.kl_div(F.log_softmax(student, 1), F.softmax(teacher, 1), reduction="none").sum(1).mean()
    )
    torch.testing.assert_close(prediction_distillation(student, teacher), per_pixel / CLASSES)
    assert prediction_distillation(student, student).item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("axis", UNIMODAL_AXES)
def test_unimodal_distillation_by_its_definition(axis: str) -> None:
    student, teacher = pyramid(0), pyramid(1)
    dim = 0 if axis == "channels" else 1
    expected = sum(
        F.kl_div(F.log_softmax(s[b, m], dim), F.softmax(t[b, m], dim), reduction="none").mean()
        for s, t in zip(student, teacher, strict=True)
        for b in range(2)
        for m in range(3)
    )
    found = unimodal_distillation(student, teacher, axis)
    torch.testing.assert_close(found, torch.as_tensor(expected) / 2)
    assert unimodal_distillation(student, student, axis).item() == pytest.approx(0.0, abs=1e-6)


def test_similarities_by_their_definition() -> None:
    (features, *_) = pyramid()
    found = similarities(features)
    cosine = F.cosine_similarity(features[1, 0].flatten(1), features[1, 2].flatten(1), dim=1).mean()
    torch.testing.assert_close(found[1, 0, 2], cosine)
    assert (found.diagonal(dim1=1, dim2=2) == 1).all() and (found.abs() <= 1 + 1e-6).all()
    torch.testing.assert_close(found, found.transpose(1, 2))


def test_cross_modal_distillation_sees_relations_and_not_the_features_themselves() -> None:
    student = pyramid(0)
    scaled = [3.0 * stage for stage in student]
    assert cross_modal_distillation(student, scaled).item() == pytest.approx(0.0, abs=1e-6)
    assert cross_modal_distillation(student, pyramid(1)).item() > 1e-3
    assert cross_modal_distillation(student, student, "softmax").item() > 1e-3  # the quirk
    alone = [stage[:, :1] for stage in student]
    assert cross_modal_distillation(alone, [s[:, :1] for s in pyramid(1)]).item() == 0.0


def test_cross_modal_distillation_of_softmax_maps_normalises_along_the_rows_as_the_code_does() -> (
    None
):
    """The code: softmax over axis 1 of each ``[C, H, W]``, cosines over the image by channel."""
    student, teacher = pyramid(0), pyramid(1)
    expected = torch.zeros(())
    for mine, others in zip(student, teacher, strict=True):
        differences = []
        for item in range(2):
            pairs = [(m, n) for m in range(3) for n in range(3) if m != n]
            for m, n in pairs:
                a, b = (F.log_softmax(mine[item, row], 1).flatten(1) for row in (m, n))
                c, d = (F.softmax(others[item, row], 1).flatten(1) for row in (m, n))
                alike, taught = F.cosine_similarity(a, b).mean(), F.cosine_similarity(c, d).mean()
                differences.append((alike - taught).square())
        # Over all M * M entries of the matrices, of which the diagonal is equal.
        expected = expected + torch.stack(differences).sum() / (2 * 9)
    found = cross_modal_distillation(student, teacher, "softmax")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("features", CROSS_MODAL_FEATURES)
def test_only_the_student_learns_from_distillation(features: str) -> None:
    student = [stage.requires_grad_() for stage in pyramid(0)]
    teacher = [stage.requires_grad_() for stage in pyramid(1)]
    loss = unimodal_distillation(student, teacher) + cross_modal_distillation(
        student, teacher, features
    )
    loss.backward()
    assert all(stage.grad is not None and stage.grad.abs().sum() > 0 for stage in student)
    assert all(stage.grad is None for stage in teacher)


def test_prototypes_are_the_means_of_their_class() -> None:
    (features, *_), labels = pyramid(), some_labels()
    prototypes, present = class_prototypes(features, labels, CLASSES)
    small = labels[:, ::2, ::2]
    for number in range(CLASSES):
        mask = small[1] == number
        assert bool(present[1, number]) == bool(mask.any())
        if mask.any():
            torch.testing.assert_close(
                prototypes[1, 2, number], features[1, 2][:, mask].mean(dim=1)
            )


def test_an_absent_class_plays_no_part() -> None:
    features, labels = pyramid(), some_labels()
    labels[labels == 3] = 1
    pairs = [(0, 1)]
    few = prototype_distillation(features, labels, CLASSES, pairs)
    more = prototype_distillation(features, labels, CLASSES + 4, pairs)
    torch.testing.assert_close(few, more)


def test_only_the_students_of_a_pair_learn() -> None:
    features = [stage.requires_grad_() for stage in pyramid()]
    prototype_distillation(features, some_labels(), CLASSES, [(2, 0)]).backward()
    for stage in features:
        assert stage.grad is not None
        moved = stage.grad.abs().sum(dim=(0, 2, 3, 4)) > 0
        assert moved.tolist() == [True, False, False]


def test_equal_modalities_have_nothing_to_teach() -> None:
    features = [stage[:, :1].expand(-1, 2, -1, -1, -1) for stage in pyramid()]
    loss = prototype_distillation(features, some_labels(), CLASSES, [(0, 1)])
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    unlabelled = torch.full((2, 16, 16), 255)
    assert prototype_distillation(pyramid(), unlabelled, CLASSES, [(0, 1)]).item() == 0.0
    assert prototype_distillation(pyramid(), some_labels(), CLASSES, []).item() == 0.0


def test_relations_and_features_are_compared_as_finely_in_bf16() -> None:
    """Of maps that differ by little; bf16 itself tells cosines apart by 1/256."""
    torch.manual_seed(0)
    common = torch.randn(2, 1, 16, 12, 12)
    student, teacher = (
        [(common + 0.05 * torch.randn(2, 3, 16, 12, 12)).bfloat16()] for _ in range(2)
    )
    whole = [[maps.double() for maps in each] for each in (student, teacher)]
    for loss in (unimodal_distillation, cross_modal_distillation):
        with torch.autocast("cpu", torch.bfloat16):
            found = loss(student, teacher)
        torch.testing.assert_close(found.double(), loss(*whole), rtol=1e-3, atol=0.0)


def test_prototypes_are_as_fine_in_bf16() -> None:
    features, labels = pyramid()[0], some_labels()
    expected, _ = class_prototypes(features, labels, CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = class_prototypes(features, labels, CLASSES)
    torch.testing.assert_close(found, expected)
