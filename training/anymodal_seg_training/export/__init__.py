"""A trained network becomes a model folder: graphs, statistics, parity, card."""
