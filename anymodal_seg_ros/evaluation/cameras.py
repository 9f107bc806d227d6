"""What a bag says about the cameras, told to the pipeline before the first message."""

from __future__ import annotations

from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.instants import camera_infos
from anymodal_seg_ros.evaluation.replay import absolute_topic
from anymodal_seg_ros.pipeline import Pipeline


def take_cameras(pipeline: Pipeline, bag: Bag, namespace: str = "/") -> None:
    """Tell a pipeline of the cameras that CameraInfo topics describe, as a node would hear it.

    Args:
        pipeline: of a rig whose registration names the topics.
        bag: opened.
        namespace: of these topics, where they are relative.

    Raises:
        BagError: a description cannot be used, or the bag is damaged.
    """
    topics = {
        absolute_topic(sensor.registration.camera_info, namespace): name
        for name, sensor in pipeline.rig.sensors.items()
        if sensor.registration.camera_info
    }
    for name, message in camera_infos(bag, topics):
        if error := pipeline.push_camera_info(name, message):
            raise BagError(f"{bag.path}: the CameraInfo of {name} cannot be used: {error}")
