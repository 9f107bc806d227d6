"""Event cameras: messages to events, events to windows, windows to images."""
