"""Engines measured on this machine: is each right, how long does it take, what does it need."""
