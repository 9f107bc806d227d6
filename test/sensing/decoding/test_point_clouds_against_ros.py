"""Our reading of clouds against sensor_msgs_py's, where a ROS installation has it."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from fixtures.clouds import DATATYPES, cloud_message

from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud

REASON = "sensor_msgs_py is not installed (a full ROS installation has it)"
point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2", reason=REASON)
messages = pytest.importorskip("sensor_msgs.msg", reason=REASON)


def ros_message(made: Any) -> Any:
    message = messages.PointCloud2(
        height=made.height,
        width=made.width,
        is_bigendian=made.is_bigendian,
        point_step=made.point_step,
        row_step=made.row_step,
        fields=[messages.PointField(**vars(field)) for field in made.fields],
    )
    message.data = array.array("B", made.data)
    return message


@pytest.mark.parametrize("height", [1, 3])
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_datatype_is_read_as_sensor_msgs_py_reads_it(
    height: int, gap: int, big_endian: bool
) -> None:
    random = np.random.default_rng(0)
    columns = {f"f_{code}": random.uniform(0, 99, 6).astype(code) for code in DATATYPES}
    columns["f_f4"][2] = np.nan
    message = ros_message(cloud_message(columns, height=height, gap=gap, big_endian=big_endian))
    ours = decode_cloud(message).reshape(-1).copy()
    theirs = point_cloud2.read_points(message)  # it swaps big-endian data in the message itself
    assert ours.dtype.names == theirs.dtype.names
    for name in theirs.dtype.names:
        np.testing.assert_array_equal(ours[name], theirs[name])
        np.testing.assert_array_equal(ours[name], columns[name])


def test_fields_of_several_numbers_hold_what_sensor_msgs_py_numbers() -> None:
    normals = np.arange(12, dtype=np.float32).reshape(4, 3)
    message = ros_message(cloud_message({"x": np.arange(4.0), "normal": normals}))
    ours, theirs = decode_cloud(message)[0], point_cloud2.read_points(message)
    for place in range(3):
        np.testing.assert_array_equal(ours["normal"][:, place], theirs[f"normal_{place}"])


def test_clouds_written_by_sensor_msgs_py_are_read() -> None:
    header = pytest.importorskip("std_msgs.msg").Header(frame_id="lidar")
    points = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    cloud = decode_cloud(point_cloud2.create_cloud_xyz32(header, points))
    np.testing.assert_array_equal(np.stack([cloud[n][0] for n in "xyz"], 1), points)
