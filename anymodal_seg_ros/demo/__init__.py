"""The demonstration: a simulated rig, the node, and a watcher while sensors are killed."""
