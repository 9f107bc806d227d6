"""Weights that others publish, as networks of this project."""
