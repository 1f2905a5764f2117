"""How gradients flow back: modes, backward, tapes, hooks, functions of the user's."""
