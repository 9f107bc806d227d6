"""Frames of the rig for training and judging: planned, drawn, stored, checked."""
