"""Losses of the published methods, as functions of tensors; strategies put them together."""
