"""Definitions of messages that rosbags has not: of event cameras, and the names of classes.

Bags that hold no definitions are read by them, and bags of the simulated rig and of results are
written with them.
"""

from __future__ import annotations

EVENT_PACKET = "event_camera_msgs/msg/EventPacket"
LABEL_INFO, VISION_CLASS = "vision_msgs/msg/LabelInfo", "vision_msgs/msg/VisionClass"

_EVENT = """
uint16 x
uint16 y
builtin_interfaces/Time ts
bool polarity
"""

_EVENT_ARRAY = """
std_msgs/Header header
uint32 height
uint32 width
Event[] events
"""

DEFINITIONS = {
    EVENT_PACKET: """
std_msgs/Header header
uint32 height
uint32 width
uint64 seq
uint64 time_base
string encoding
bool is_bigendian
uint8[] events
""",
    "dvs_msgs/msg/Event": _EVENT,
    "dvs_msgs/msg/EventArray": _EVENT_ARRAY,
    "prophesee_event_msgs/msg/Event": _EVENT,
    "prophesee_event_msgs/msg/EventArray": _EVENT_ARRAY,
    VISION_CLASS: """
uint16 class_id
string class_name
""",
    LABEL_INFO: """
std_msgs/Header header
vision_msgs/VisionClass[] class_map
float32 threshold
""",
}
"""Text of each definition by the type's full name; what one needs stands before it."""
