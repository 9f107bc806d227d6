"""The simulated rig as drivers: images, clouds, calibration and transforms on topics."""
