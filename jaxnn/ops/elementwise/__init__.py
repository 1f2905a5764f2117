"""Operators on each element: arithmetic, comparisons, and functions of one number."""
