"""From a frame set to a mask: model folders, preprocessing and the engines that run them."""

from anymodal_seg_ros.inference.usage_reports import silence_usage_reports

silence_usage_reports()  # here, because it must come before whichever engine imports its library
