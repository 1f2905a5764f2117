"""The engine: tensors, recordings, autograd, random numbers. It knows no operator; see README.md."""
