"""Commands for a robot and its sensors: set it up, look it over, let sensors fail."""
