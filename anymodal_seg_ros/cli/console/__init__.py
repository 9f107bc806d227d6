"""How commands speak: text as it is, progress, and errors in a line."""
