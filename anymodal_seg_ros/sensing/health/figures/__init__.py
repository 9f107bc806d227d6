"""Numbers of a picture, on which the checks rest: blocks, edges, lines, order statistics."""
