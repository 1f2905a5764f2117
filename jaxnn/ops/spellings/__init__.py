"""The same operators under Python's signs, second names and older signatures."""
