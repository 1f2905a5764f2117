"""What an operator is: a function of arrays, its arguments, its traced form, its errors."""
