"""A look at the topics of a rig: checked, or guessed from what is published."""
