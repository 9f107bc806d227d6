"""What is told of a scorecard in numbers: over which masks, and how each follows from them."""
