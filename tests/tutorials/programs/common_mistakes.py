"""What a beginner meets along these tutorials: each mistake must raise as PyTorch raises."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def attempt(title, action):
    try:
        action()
    except Exception as error:
        print(f"{title} | {type(error).__name__}: {error}")
    else:
        print(f"{title} | no error")


class NoInit(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(2, 2)


class NoForward(nn.Module):
    pass


torch.manual_seed(21)
linear = nn.Linear(2, 3)
conv = nn.Conv2d(3, 6, 3)
weight = torch.randn(2, 3, requires_grad=True)

attempt("forgotten super().__init__()", NoInit)
attempt("forgotten forward", lambda: NoForward()(torch.ones(1)))
attempt("whole numbers into a linear layer", lambda: linear(torch.from_numpy(np.array([[0, 1]]))))
attempt("doubles into a linear layer", lambda: linear(torch.from_numpy(np.array([[0.0, 1.0]]))))
attempt("wrong width", lambda: linear(torch.ones(4, 5)))
attempt("wrong channels", lambda: conv(torch.ones(1, 4, 8, 8)))
attempt("a flat image", lambda: conv(torch.ones(8, 8)))
attempt("image smaller than the kernel", lambda: conv(torch.ones(1, 3, 2, 2)))
attempt("shapes that do not broadcast", lambda: torch.ones(2, 3) + torch.ones(4))
attempt("matrix product", lambda: torch.matmul(torch.ones(2, 3), torch.ones(4, 5)))
attempt("reshape to a wrong size", lambda: torch.reshape(torch.ones(6), (4, 2)))
attempt("gradient of a vector", lambda: (weight * 2).backward())
attempt("backward without gradients", lambda: torch.ones(2).sum().backward())
attempt("in place on a leaf", lambda: weight.add_(1))
attempt("numpy of a tensor with gradients", lambda: weight.numpy())
attempt("item of many", lambda: torch.ones(3).item())
attempt("truth of many", lambda: bool(torch.ones(3)))
attempt("wrong batch", lambda: F.cross_entropy(torch.ones(3, 4), torch.tensor([0, 1])))
attempt("class out of range", lambda: F.nll_loss(torch.ones(2, 3), torch.tensor([0, 7])))
attempt("float classes", lambda: F.nll_loss(torch.ones(2, 3), torch.tensor([0.0, 1.0])))
attempt("misspelt layer", lambda: nn.ReLu())
attempt("misspelt function", lambda: F.reluu(weight))
attempt("missing attribute", lambda: linear.wieght)
attempt("parameter that is no parameter", lambda: setattr(linear, "weight", torch.ones(3, 2)))
attempt("parameter of whole numbers", lambda: nn.Parameter(torch.tensor([1, 2])))
attempt("optimizer without parameters", lambda: torch.optim.SGD([], lr=0.1))
attempt("negative learning rate", lambda: torch.optim.SGD(linear.parameters(), lr=-1.0))
attempt("optimizer over a tensor", lambda: torch.optim.SGD(weight, lr=0.1))
attempt("state of another model", lambda: linear.load_state_dict(conv.state_dict()))
attempt("module name with a dot", lambda: linear.add_module("a.b", nn.ReLU()))
attempt("bad index", lambda: torch.ones(2, 3)[5])
attempt("bad dimension", lambda: torch.ones(2, 3).sum(dim=4))


def backward_twice():
    loss = (weight * weight).sum()
    loss.backward()
    loss.backward()


attempt("backward twice", backward_twice)
