"""A policy that learns to keep a pole upright from nothing but its rewards.

Sources: Williams, Simple statistical gradient-following algorithms (REINFORCE), 1992; the cart and its pole are those of Barto,
Sutton and Anderson, Neuronlike adaptive elements, 1983.
"""

import math

import matplotlib.pyplot as plt
from common import options, save, steps

import jaxnn as torch
from jaxnn import nn
from jaxnn.distributions import Categorical


class Cart:
    """A cart on a rail with a pole on it; lengths in metres, angles in radians, 0.02 s a step."""

    def __init__(self):
        self.state = (torch.rand(4) * 0.1 - 0.05).tolist()

    def push(self, right: bool) -> bool:
        """Push with 10 N; whether the pole still stands and the cart is on its rail."""
        x, v, angle, turn = self.state
        force = 10.0 if right else -10.0
        pull = (force + 0.05 * turn**2 * math.sin(angle)) / 1.1
        bend = (9.8 * math.sin(angle) - math.cos(angle) * pull) / (0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1))
        push = pull - 0.05 * bend * math.cos(angle) / 1.1
        self.state = [x + 0.02 * v, v + 0.02 * push, angle + 0.02 * turn, turn + 0.02 * bend]
        return abs(self.state[0]) < 2.4 and abs(self.state[2]) < 0.21


def returns(rewards: list[float], discount: float = 0.99) -> torch.Tensor:
    """What each step still brought, later rewards counting less, with mean 0 and deviation 1."""
    total, found = 0.0, []
    for reward in reversed(rewards):
        total = reward + discount * total
        found.append(total)
    values = torch.tensor(found[::-1])
    return (values - values.mean()) / (values.std(correction=0) + 1e-6)


def main(arguments=None):
    """Play, learn after each episode, draw how long the pole stood."""
    given = options(__doc__, 250, arguments)
    policy = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    lengths = []
    bar = steps(given.steps)
    for _ in bar:
        cart, logs = Cart(), []
        for _ in range(500):
            choice = Categorical(logits=policy(torch.tensor(cart.state)))
            action = choice.sample()
            logs.append(choice.log_prob(action))
            if not cart.push(bool(action.item())):
                break
        optimizer.zero_grad()
        loss = -(torch.stack(logs) * returns([1.0] * len(logs))).sum()
        loss.backward()
        optimizer.step()
        lengths.append(len(logs))
        bar.set_postfix(steps=len(logs))
    print(f"steps: {sum(lengths[-20:]) / len(lengths[-20:]):.1f} in the last episodes")
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.plot(lengths)
    axis.set(xlabel="episode", ylabel="steps that the pole stood")
    save(figure, given.out / "reinforce.png")


if __name__ == "__main__":
    main()
