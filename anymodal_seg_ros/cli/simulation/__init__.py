"""Commands that draw: what can be had of the synthetic rig."""
