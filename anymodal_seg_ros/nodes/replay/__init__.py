"""Bags and faults on live topics: a player, an evaluator and a fault injector."""
