"""Groups of processes and what their arrays become together."""
