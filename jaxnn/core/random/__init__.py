"""PyTorch's CPU random stream, bit for bit."""
