"""Messages of ROS as plain values, which two thin back ends turn into rclpy's or rosbags' own."""
