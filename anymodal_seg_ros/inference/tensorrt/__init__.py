"""TensorRT: plans that are built for one GPU, kept, and executed. Not yet verified on hardware."""
