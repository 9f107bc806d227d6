"""The machine beneath: processors, the GPU, temperatures and power. Looked at, never changed."""
