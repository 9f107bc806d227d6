"""The files of a bag: mcap, sqlite3 and ROS 1, as recorders, crashes and other tools leave them."""
