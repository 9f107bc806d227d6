"""From samples to frame sets: stamps, offsets, triggers, deadlines."""
