"""From a frame set to a mask: model folders, preprocessing and the engines that run them."""
