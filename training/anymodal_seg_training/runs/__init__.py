"""A run: its folder, frames, steps, optimiser, log and validation."""
