"""Three mistakes that a type checker has to find, each marked with its line."""

import jaxnn as torch
from jaxnn import Tensor, nn


def misspelt(x: Tensor) -> Tensor:
    return x.reshpae(2, 3)  # MISTAKE


def wrong_type() -> nn.Module:
    return nn.Linear("3", 4)  # MISTAKE


def wrong_result(x: Tensor) -> float:
    return torch.add(x, 1)  # MISTAKE
