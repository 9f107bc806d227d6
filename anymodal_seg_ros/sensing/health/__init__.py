"""Is a sensor to be believed? State machines, and checks of what its messages hold."""
