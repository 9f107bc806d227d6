"""What a node has seen and said, written down: the black box and snapshots."""
