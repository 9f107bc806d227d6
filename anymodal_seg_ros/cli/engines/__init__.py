"""Commands for engines: build, verify, compare, and tidy up."""
