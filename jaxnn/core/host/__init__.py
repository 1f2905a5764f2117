"""A closed jaxpr as a Python function of numpy arrays."""
