"""What a row of a table is: a `Model`, or a function of a folder that returns arrays by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

OURS = "jaxnn" in torch.__file__


def square_mean(output):
    """A loss of the first tensor of an output."""
    while not isinstance(output, torch.Tensor):
        output = output[0] if not isinstance(output, dict) or 0 in output else next(iter(output.values()))
    return output.float().square().mean()


@dataclasses.dataclass
class Model:
    """A model to be built twice, loaded and trained."""

    build: Callable[[], torch.nn.Module]
    inputs: Callable[[], Any]  # one tensor, a tuple, or a dictionary for keywords
    loss: Callable[[Any], torch.Tensor] = square_mean
    training: bool = True
    reads: bool = False  # whether the package asks for values to decide what it does

    def __call__(self, folder):
        torch.manual_seed(0)
        found = {f"drawn {k}": v for k, v in self.build().state_dict().items()}
        torch.manual_seed(1)
        model = self.build().train(self.training)
        if OURS:
            print(model.load_state_dict(torch.load(folder / "model.pt")))
        else:
            torch.save(model.state_dict(), folder / "model.pt")
        torch.manual_seed(2)
        inputs = self.inputs()
        # With the usual eps a step has the sign of a gradient that is all rounding, as that of a bias before a normalisation is.
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-4)
        for step in range(3):
            optimizer.zero_grad()
            output = called(model, inputs)
            loss = self.loss(output)
            loss.backward()
            if step == 0:
                found |= {f"output {i}": v for i, v in enumerate(tensors(output))}
                found |= {f"gradient {n}": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            optimizer.step()
            found[f"loss {step}"] = loss.detach()
            if step == 1:
                found |= {f"stepped {n}": v.detach().clone() for n, v in model.state_dict().items()}
        if OURS:
            found["programs"] = np.array(self.steady(model, inputs, optimizer))
        return found

    def steady(self, model, inputs, optimizer):
        """Of two more steps: programs a step, how many values are read in one, and how many programs were compiled."""
        import jaxnn

        for _ in range(2):  # the first visit may still widen what the program gives
            jaxnn.reset_engine_statistics()
            for _ in range(2):
                optimizer.zero_grad()
                self.loss(called(model, inputs)).backward()
                optimizer.step()
        found = jaxnn.engine_statistics()
        reads = sum(count for (cause, _), count in found["cuts_by_line"].items() if cause != "optimizer.step()")
        return (found["cache_hits"] + found["operator_by_operator"]) / 2, reads / 2, found["compiled"]


def called(model, inputs):
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def tensors(tree):
    """All tensors of an output, in order."""
    if isinstance(tree, torch.Tensor):
        return [tree.detach().clone()]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [t for part in tree for t in tensors(part)]
