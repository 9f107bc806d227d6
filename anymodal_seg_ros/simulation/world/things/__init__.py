"""What stands and moves in the world, one kind to a file."""
