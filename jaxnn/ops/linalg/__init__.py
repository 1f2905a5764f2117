"""Products of matrices, factorisations, linear systems, norms."""
