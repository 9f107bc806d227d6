"""What becomes of frames before a network learns from them, and what of that is random."""
