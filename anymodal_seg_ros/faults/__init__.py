"""How sensors break: one timeline of faults for the simulated rig, for bags and for live topics."""
