"""The world of the rig: streets and trails, what stands and moves there, and its weather."""
