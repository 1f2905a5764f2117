"""Random tensors and masks: PyTorch's stream, Flax's keys, and draws on accelerators."""
