"""Does a model do what its folder promises? Asked when it is loaded, before any frame comes."""
