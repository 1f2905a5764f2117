"""What a tensor is made of: storage, buffer, view, and the cell where its gradient goes."""
