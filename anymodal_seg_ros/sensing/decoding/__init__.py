"""Image, CompressedImage and PointCloud2 messages to arrays, by duck typing."""
