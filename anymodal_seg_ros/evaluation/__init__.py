"""Metrics, bag replay and reports. No ROS installation needed."""
