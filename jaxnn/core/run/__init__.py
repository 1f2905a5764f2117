"""How a path runs: as one program or operator by operator, which is decided, and how values are committed."""
