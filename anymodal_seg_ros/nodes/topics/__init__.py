"""The graph around a node: who publishes what and how, and subscriptions that fit."""
