"""What a stranger's bag holds, what is wrong with it, and the rig that it was recorded with."""
