"""From a frame set to a mask: model folders, preprocessing and the engines that run them."""

from anymodal_seg_ros.former_addresses import keep_former_addresses

keep_former_addresses()
