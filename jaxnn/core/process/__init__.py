"""What belongs to the process or a thread: settings and modes, JAX's private names, forks, the user's line."""
