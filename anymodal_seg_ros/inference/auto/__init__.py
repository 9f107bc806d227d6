"""Which engine is the fastest here: ``engine: auto``, found by trial and remembered."""
