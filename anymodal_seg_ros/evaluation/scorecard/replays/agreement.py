"""The masks of another model as labels: no truth, but how far two models agree."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from anymodal_seg_ros import __version__
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.image_files import write_picture
from anymodal_seg_ros.evaluation.replay import (
    arrivals,
    cameras_by_topic,
    check_topics,
    replay,
    sensors_by_topic,
)
from anymodal_seg_ros.evaluation.scorecard.replays.job import Subject, inputs_of
from anymodal_seg_ros.evaluation.scorecard.runs.records import RunError
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import refuse_links, run_key
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.pipeline import Pipeline

_PARTIAL = ".partial"


def with_agreement(subject: Subject, folder: Path) -> Subject:
    """Let another model segment the healthy bag, and take its masks for labels.

    Args:
        subject: its ``truth.agree_with`` names the other model.
        folder: for the masks, in a folder for each other model, bag and rig; what is finished in it
            is not done again.

    Returns:
        The subject with the folder of the masks as the source of its labels.

    Raises:
        ConfigError: the two models have no class in common.
        AnymodalError: the bag or the other model cannot be used.
    """
    other = dataclasses.replace(subject.config, model=subject.truth.agree_with)
    key = run_key(
        {
            "version": __version__,
            "inputs": [
                file.sha256 for file in inputs_of(dataclasses.replace(subject, config=other))
            ],
            "config": dataclasses.asdict(other),
            "classes": [c.name for c in load_model(subject.config.model).manifest.classes],
        }
    )
    masks = folder / key[:16]
    refuse_links(folder, masks)
    if not masks.is_dir():
        partial = folder / _PARTIAL
        shutil.rmtree(partial, ignore_errors=True)
        pipeline = Pipeline.from_config(other)
        own = load_model(subject.config.model).manifest
        _write_masks(subject, pipeline, _table(pipeline.model.manifest, own), partial)
        partial.rename(masks)
    truth = dataclasses.replace(subject.truth, source=str(masks), label_map=None)
    return dataclasses.replace(subject, truth=truth)


def _write_masks(subject: Subject, pipeline: Pipeline, table: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    with Bag(subject.bag) as bag:
        sensors = sensors_by_topic(pipeline.rig, subject.namespace, subject.node)
        cameras = cameras_by_topic(pipeline.rig, subject.namespace, subject.node)
        check_topics(bag, sensors)
        for prediction in replay(pipeline, arrivals(bag, sensors, cameras, pipeline.rig)):
            frames = prediction.frame_set
            place = folder / prediction.owner
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{frames.reference_sample.stamp_ns:019d}.png"
            try:
                write_picture(path, table[prediction.mask])
            except OSError as error:
                raise RunError(f"cannot write {path}: {error.strerror}") from error


def _table(other: Manifest, own: Manifest) -> np.ndarray:
    """Return uint8 ``[256]``: the class of ours with the name of each of theirs."""
    names = [spec.name for spec in own.classes]
    table = np.full(256, UNLABELED, np.uint8)
    for number, spec in enumerate(other.classes):
        if spec.name in names:
            table[number] = names.index(spec.name)
    if (table == UNLABELED).all():
        raise ConfigError(
            f"the models {own.name} and {other.name} have no class of the same name: "
            "they cannot agree"
        )
    return table
