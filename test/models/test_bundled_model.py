from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anymodal_seg_ros.evaluation.metrics import confusion_matrix, mean_iou
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import batch

GOLDEN = Path(__file__).parents[1] / "golden" / "rig_nano.png"
MODALITIES = ("rgb", "thermal", "depth", "event")
SUBSETS = [s for n in range(1, 5) for s in combinations(MODALITIES, n)]

Frame = tuple[dict[str, Image], np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Frames of streets that the model was neither trained nor chosen on."""
    pytest.importorskip("embreex", reason="the simulation needs embreex")
    from anymodal_seg_ros.simulation.rig import Rig, random_frames

    rig = Rig()
    kind = {name: sensor.modality for name, sensor in rig.sensors.items()}
    return [
        ({kind[name]: image for name, image in frame.images.items()}, frame.labels["rgb"])
        for frame in random_frames(range(20_000_000, 20_000_006), per_scene=1, rig=rig)
    ]


def segment(engine: Any, model: Model, images: dict[str, Image], subset: tuple[str, ...]) -> Any:
    """The mask at the network's size, by way of the two halves, as the node makes it."""
    (mask,) = segment_each(engine, model, images, [subset])
    return mask


def segment_each(
    engine: Any, model: Model, images: dict[str, Image], subsets: list[tuple[str, ...]]
) -> list[Any]:
    """The masks of several subsets; like the node, it encodes each sensor once for all of them."""
    names = tuple(dict.fromkeys(name for subset in subsets for name in subset))
    inputs = batch([(name, images[name]) for name in names], model.manifest)
    encoded = dict(zip(names, engine.encode(inputs), strict=True))
    height, width = model.manifest.height, model.manifest.width
    return [
        lazy_argmax(engine.fuse([encoded[name] for name in subset]).logits, height, width)
        for subset in subsets
    ]


def test_the_manifest_tells_what_every_subset_reaches(model: Model) -> None:
    assert (model.folder / "MODEL_CARD.md").is_file()
    assert set(model.manifest.metrics["miou"]) == {"+".join(subset) for subset in SUBSETS}


@pytest.mark.slow
def test_every_subset_is_segmented_and_more_sensors_help(model: Model, frames: list[Frame]) -> None:
    engine = create_engine("onnxruntime", model, threads=1)
    size = (model.manifest.width, model.manifest.height)
    classes = len(model.manifest.classes)
    totals = {subset: np.zeros((classes, classes), np.int64) for subset in SUBSETS}
    for images, label in frames:
        small = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        masks = segment_each(engine, model, images, SUBSETS)
        for subset, mask in zip(SUBSETS, masks, strict=True):
            totals[subset] += confusion_matrix(small, mask, classes)
    scores = {subset: mean_iou(total) for subset, total in totals.items()}
    assert min(scores.values()) > 0.15, scores
    assert scores[MODALITIES] > 0.4, scores
    assert scores[MODALITIES] > max(scores[(name,)] for name in MODALITIES), scores


@pytest.mark.export
@pytest.mark.parametrize(
    "kind", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)
def test_every_engine_gives_the_mask_of_torch_for_every_subset(
    model: Model, frames: list[Frame], kind: str
) -> None:
    pytest.importorskip("torch", reason="the torch engine needs torch")
    pytest.importorskip(kind, reason=f"{kind} is not installed")
    engines = [create_engine(name, model, threads=1) for name in (kind, "torch")]
    masks = [segment_each(engine, model, frames[0][0], SUBSETS) for engine in engines]
    for subset, first, second in zip(SUBSETS, *masks, strict=True):
        assert np.mean(first == second) >= 0.9999, subset


@pytest.mark.export
@pytest.mark.parametrize("name", ["rig-lite", "rig-large", "rig-b0"])
def test_a_larger_model_sees_the_same_classes_and_gives_the_same_mask_in_both_engines(
    model: Model, frames: list[Frame], name: str
) -> None:
    pytest.importorskip("torch", reason="the torch engine needs torch")
    pytest.importorskip("timm", reason="rig-lite's encoder is timm's where torch runs it")
    larger = load_model(name)
    assert larger.manifest.classes == model.manifest.classes
    engines = [create_engine(kind, larger, threads=1) for kind in ("onnxruntime", "torch")]
    images, label = frames[0]
    first, second = (segment(engine, larger, images, MODALITIES) for engine in engines)
    assert np.mean(first == second) >= 0.999
    small = cv2.resize(label, first.shape[::-1], interpolation=cv2.INTER_NEAREST)
    assert np.mean(first == small) > 0.7  # of the pixels


def test_the_order_of_the_sensors_does_not_matter(model: Model, frames: list[Frame]) -> None:
    engine = create_engine("onnxruntime", model, threads=1)
    forward = segment(engine, model, frames[1][0], MODALITIES)
    backward = segment(engine, model, frames[1][0], MODALITIES[::-1])
    assert np.mean(forward == backward) >= 0.9999


def test_the_mask_of_a_known_frame_is_the_golden_one(model: Model, frames: list[Frame]) -> None:
    """Guards what a user sees against any change of decoding, preprocessing, model or engine."""
    engine = create_engine("onnxruntime", model, threads=1)
    mask = segment(engine, model, frames[2][0], MODALITIES)
    golden = cv2.imread(str(GOLDEN), cv2.IMREAD_UNCHANGED)
    assert np.mean(mask == golden) >= 0.995  # other processors round differently at the seams
