"""A scorecard to look at: tables, plots, one HTML page, and several side by side."""
