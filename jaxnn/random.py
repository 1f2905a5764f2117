"""``torch.random``: the default stream of random numbers.

Source: https://docs.pytorch.org/docs/stable/random.html
"""

from jaxnn.ops.random.draws import (
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
