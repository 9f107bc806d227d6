"""Messages to samples to frame sets, and the health of every sensor. No rclpy, no torch."""
