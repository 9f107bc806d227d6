"""Options and their values as several commands take them."""
