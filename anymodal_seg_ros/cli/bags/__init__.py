"""Commands for recordings: make, look into, play and segment them."""
