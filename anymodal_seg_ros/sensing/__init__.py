"""From messages to frame sets: decoding, health, time and geometry. Needs neither ROS nor torch."""

from anymodal_seg_ros.sensing.former_addresses import keep_former_addresses

keep_former_addresses()
