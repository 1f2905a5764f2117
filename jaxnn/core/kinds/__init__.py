"""What a tensor is like: types and their promotion, shapes, devices, printed text."""
