"""Commands that judge: a scorecard, its verdict, and scorecards side by side."""
