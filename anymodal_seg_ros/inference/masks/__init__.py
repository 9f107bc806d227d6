"""What becomes of a network's answer: class maps, and masks for people and in space."""
