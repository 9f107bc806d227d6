"""What becomes of the masks when sensors fail: replays, figures, a verdict and a report."""
