"""What operators share: reading their arguments, common types, dimensions, refusals; what factories and named results share."""
