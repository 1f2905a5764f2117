"""Reading and writing by brackets and by tensors of indices."""
