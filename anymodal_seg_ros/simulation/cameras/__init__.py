"""The sensors of the rig: rays into the world, and what each camera makes of them."""
