"""Where things stand and go: streets and trails, furnished."""
