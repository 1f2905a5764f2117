"""PyTorch's update formulas as optax transformations.

Each is an `optax.GradientTransformation` whose hyperparameters may be numbers or arrays. `jaxnn.optim` runs them inside
the training step with arrays (so that a schedule never recompiles); a JAX user takes one out with
``optimizer.as_optax()``. They differ from optax's own in PyTorch's conventions: see each.

States are NamedTuples: first the numbers that all parameters share, then trees of arrays under PyTorch's names; a tree
that an option makes superfluous is ``()``.
"""

from .accumulators import (
    AdadeltaState,
    AdafactorState,
    AdagradState,
    RMSpropState,
    adadelta,
    adafactor,
    adagrad,
    rmsprop,
)
from .descent import ASGDState, MomentumState, MuonState, RpropState, asgd, muon, rprop, sgd
from .moments import AdamaxState, AdamState, NAdamState, adam, adamax, nadam, radam, sparse_adam

__all__ = [
    "ASGDState", "AdadeltaState", "AdafactorState", "AdagradState", "AdamState", "AdamaxState", "MomentumState",
    "MuonState", "NAdamState", "RMSpropState", "RpropState", "adadelta", "adafactor", "adagrad", "adam", "adamax", "asgd",
    "muon", "nadam", "radam", "rmsprop", "rprop", "sgd", "sparse_adam",
]  # fmt: skip
