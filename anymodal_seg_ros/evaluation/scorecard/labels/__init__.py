"""What masks are held against: labels of a bag or a folder, in the classes of the model."""
