"""What happens to a picture, or to a part of it, that does not happen in the world."""
