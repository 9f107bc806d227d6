"""Do the figures pass? A gate, its verdict, and the form that a CI reads."""
