"""How a call is recorded, how values are read and written, through views and memory that numpy shares."""
