"""Other shapes and orders of the same elements; joining, splitting and repeating."""
