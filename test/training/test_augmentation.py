from __future__ import annotations

import torch

from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_training.augmentation import augment
from anymodal_seg_training.recipe import AugmentationOptions
from anymodal_seg_training.sampling import frame_generators

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
