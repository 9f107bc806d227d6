"""The demo's processes: its cameras, its watcher, and the one that starts them."""
