"""Studies: runs of several methods at one budget, and the table that they come to."""
