"""What several namespaces of the library need and PyTorch has no name for."""
