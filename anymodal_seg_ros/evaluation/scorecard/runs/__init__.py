"""What a replay leaves behind: its folder, with a record and the counted pixels of every mask."""
