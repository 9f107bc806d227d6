from __future__ import annotations

import dataclasses

import pytest
import torch
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.data.augmentation import augment
from anymodal_seg_training.data.sampling import frame_generators
from anymodal_seg_training.recipe import AugmentationOptions, parse_recipe

SPECS = [
    ModalitySpec(0, "color", (0.0,) * 3, (1.0,) * 3),
    ModalitySpec(2, "depth", (0.0,) * 3, (1.0,) * 3),
]


def coordinates(
    batch: int = 4, height: int = 40, width: int = 60
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose planes are row, column and class, so that a cut shows where it is from."""
    rows, columns = torch.meshgrid(
        torch.arange(height).float(), torch.arange(width).float(), indexing="ij"
    )
    labels = ((rows // 8 + columns // 8) % 5).to(torch.uint8)
    planes = torch.stack([rows, columns, labels.float()])
    return planes.expand(batch, 2, 3, -1, -1).half(), labels.expand(batch, -1, -1)


def test_all_sensors_and_the_label_get_the_same_window() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(24, 32, flip=0.5, max_zoom=1.0, jitter=0.0)
    batch = augment(images, labels, SPECS, options, frame_generators(0, 0, range(4)))
    assert batch.images.shape == (4, 2, 3, 24, 32) and batch.images.dtype == torch.float32
    assert batch.labels.shape == (4, 24, 32) and batch.labels.dtype == torch.int64
    assert batch.modality_ids.tolist() == [0, 2]
    assert torch.equal(batch.images[:, 0], batch.images[:, 1])
    assert torch.equal(batch.images[:, 1, 2].long(), batch.labels)
    steps = batch.images[:, 0, 1].diff(dim=-1)
    mirrored = [bool((item == -1).all()) for item in steps]
    assert all((item.abs() == 1).all() for item in steps) and len(set(mirrored)) == 2
    assert len({float(item[0, 0, 0, 0]) for item in batch.images}) > 1


def test_depth_and_labels_are_never_interpolated_or_jittered() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(24, 32, max_zoom=2.0, jitter=0.5)
    batch = augment(images, labels, SPECS, options, frame_generators(1, 0, range(4)))
    assert torch.equal(batch.images[:, 1], batch.images[:, 1].round())
    assert torch.equal(batch.images[:, 1, 2].long(), batch.labels)
    assert not torch.equal(batch.images[:, 0], batch.images[:, 0].round())


def test_a_zoom_invents_no_returns_of_a_lidar() -> None:
    """As in the node, where a pixel beside a return stays one that saw nothing."""
    images, labels = coordinates()
    specs = [SPECS[0], dataclasses.replace(SPECS[1], planes="lidar")]
    options = AugmentationOptions(24, 32, max_zoom=2.0, jitter=0.0)
    batch = augment(images, labels, specs, options, frame_generators(1, 0, range(4)))
    assert torch.equal(batch.images[:, 1], batch.images[:, 1].round())
    assert not torch.equal(batch.images[:, 0], batch.images[:, 0].round())


def test_without_variation_the_frame_comes_through() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(40, 60, flip=0.0, max_zoom=1.0, jitter=0.0)
    batch = augment(images, labels, SPECS, options, frame_generators(2, 0, range(4)))
    assert torch.equal(batch.images, images.float())
    assert torch.equal(batch.labels, labels.long())


def test_the_generator_is_the_only_source_of_chance() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(24, 32)
    one, other = (
        augment(images, labels, SPECS, options, frame_generators(3, 0, range(4))) for _ in range(2)
    )
    assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_a_frame_is_varied_in_the_same_way_in_any_part_of_the_batch() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(24, 32)
    whole = augment(images, labels, SPECS, options, frame_generators(1, 5, range(4)))
    half = augment(images[2:], labels[2:], SPECS, options, frame_generators(1, 5, range(2, 4)))
    assert torch.equal(whole.images[2:], half.images)


PUBLISHED = AugmentationOptions(
    24, 32, flip=0.5, max_zoom=2.0, jitter=0.0, min_zoom=0.5, color_jitter=1.0, blur=1.0
)


def test_colours_and_blur_change_the_named_modality_alone() -> None:
    images = torch.rand(4, 2, 3, 40, 60, generator=torch.Generator().manual_seed(1)).half()
    _, labels = coordinates()
    specs = [SPECS[0], ModalitySpec(3, "color", (0.0,) * 3, (1.0,) * 3)]
    still = AugmentationOptions(40, 60, flip=0.0, max_zoom=1.0, jitter=0.0)
    for change in ({"color_jitter": 1.0}, {"blur": 1.0}):
        options = dataclasses.replace(still, **change)
        generators = frame_generators(4, 0, range(4))
        batch = augment(images, labels, specs, options, generators, ("rgb", "event"))
        assert torch.equal(batch.images[:, 1], images[:, 1].float())
        assert not torch.equal(batch.images[:, 0], images[:, 0].float())
        assert torch.equal(batch.labels, labels.long())
        assert batch.images[:, 0].min() >= 0.0 and batch.images[:, 0].max() <= 1.0


def test_colours_are_varied_before_normalisation() -> None:
    """Black is black in any brightness and saturation, whatever mean and deviation are."""
    spec = ModalitySpec(0, "color", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    black = -torch.tensor([0.4, 0.5, 0.6]) / torch.tensor([0.2, 0.25, 0.3])
    images = black[:, None, None].expand(4, 1, 3, 40, 60).contiguous()
    options = AugmentationOptions(40, 60, 0.0, 1.0, 0.0, color_jitter=1.0)
    _, labels = coordinates()
    batch = augment(images, labels, [spec], options, frame_generators(6, 0, range(4)), ("rgb",))
    assert torch.allclose(batch.images, images, atol=1e-5)


def test_a_shrunk_frame_is_padded_with_black_and_with_no_label() -> None:
    images, labels = coordinates()
    spec = ModalitySpec(0, "color", (0.5,) * 3, (0.25,) * 3)
    options = AugmentationOptions(40, 60, flip=0.0, max_zoom=1.0, jitter=0.0, min_zoom=0.5)
    batch = augment(images, labels, [spec, SPECS[1]], options, frame_generators(7, 0, range(4)))
    for item, label in zip(batch.images, batch.labels, strict=True):
        rows, columns = (int((label != 255).any(dim=d).sum()) for d in (1, 0))
        assert 20 <= rows < 40 and 30 <= columns < 60
        assert (label[rows:] == 255).all() and (label[:, columns:] == 255).all()
        assert (label[:rows, :columns] < 5).all()
        assert (item[0, :, rows:] == -2.0).all() and (item[0, :, :, columns:] == -2.0).all()
        assert (item[1, :, rows:] == 0.0).all()
        assert torch.equal(item[1, 2, :rows, :columns].long(), label[:rows, :columns])


def test_the_published_order_depends_on_the_generator_alone() -> None:
    images, labels = coordinates()
    whole = augment(
        images, labels, SPECS, PUBLISHED, frame_generators(8, 0, range(4)), ("rgb", "depth")
    )
    half = augment(
        images[2:],
        labels[2:],
        SPECS,
        PUBLISHED,
        frame_generators(8, 0, range(2, 4)),
        ("rgb", "depth"),
    )
    assert torch.equal(whole.images[2:], half.images)
    assert torch.equal(whole.labels[2:], half.labels)


def test_what_is_switched_off_draws_nothing() -> None:
    images, labels = coordinates()
    named = augment(
        images,
        labels,
        SPECS,
        AugmentationOptions(24, 32),
        frame_generators(9, 0, range(4)),
        ("rgb", "depth"),
    )
    plain = augment(
        images, labels, SPECS, AugmentationOptions(24, 32), frame_generators(9, 0, range(4))
    )
    assert torch.equal(named.images, plain.images)


@pytest.mark.parametrize("option", ["color_jitter", "blur"])
def test_the_modality_whose_colours_vary_must_be_one_of_colour(option: str) -> None:
    plain = tiny_recipe().plain()
    plain["augmentation"] |= {option: 0.2, "color_modality": "depth"}
    with pytest.raises(ConfigError, match=r"color_modality is 'depth': expected a modality with"):
        parse_recipe(plain)


def test_surfaces_get_another_look_class_by_class_and_labels_stay() -> None:
    images, labels = coordinates()
    grey = torch.full_like(images, 0.5)
    options = AugmentationOptions(40, 60, flip=0.0, max_zoom=1.0, jitter=0.0, surfaces=1.0)
    batch = augment(grey, labels, SPECS, options, frame_generators(9, 0, range(4)))
    assert torch.equal(batch.labels, labels.long())
    assert torch.equal(batch.images[:, 1], grey[:, 1].float())  # depth knows no paint
    colored = batch.images[:, 0]
    assert colored.min() >= 0.0 and colored.max() <= 1.0
    for image, label in zip(colored, batch.labels, strict=True):
        means = torch.stack([image[:, label == number].mean(dim=1) for number in range(5)])
        assert means.std(dim=0).min() > 0.01


def test_surfaces_come_from_the_generator_of_their_frame_alone() -> None:
    images, labels = coordinates()
    options = AugmentationOptions(40, 60, surfaces=0.5)
    whole = augment(images, labels, SPECS, options, frame_generators(10, 0, range(4)))
    half = augment(images[2:], labels[2:], SPECS, options, frame_generators(10, 0, range(2, 4)))
    assert torch.equal(whole.images[2:], half.images)
