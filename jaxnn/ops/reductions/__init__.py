"""Operators over dimensions: sums, extremes, sorting, histograms, integrals."""
