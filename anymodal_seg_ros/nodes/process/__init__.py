"""A node as a process: its arguments, its executor, its life and its end."""
