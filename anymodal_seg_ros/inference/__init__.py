"""From a frame set to a mask: model folders, preprocessing and the engines that run them."""

from anymodal_seg_ros.inference.telemetry import silence_telemetry

silence_telemetry()  # here, because it must come before whichever engine imports its library
