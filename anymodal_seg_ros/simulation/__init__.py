"""A synthetic multi-sensor rig: procedural scenes, ray-cast sensors, exact labels."""
