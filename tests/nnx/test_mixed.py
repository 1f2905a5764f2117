"""Trees of both kinds of modules: what PyTorch's side sees of Flax's, and modes across the border."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nnx.twins import X, Y, close

import jaxnn
from jaxnn import nn


def dense(din, dout, seed=0):
    return nnx.Linear(din, dout, rngs=nnx.Rngs(seed))


class Block(nnx.Module):
    """Flax's, with layers of ours inside, in an attribute and in a list."""

    def __init__(self):
        self.ours = nn.Linear(4, 4)
        self.theirs = dense(4, 4)
        self.more = nnx.List([nn.Dropout(0.5), nnx.Dropout(0.5, rngs=nnx.Rngs(0))])

    def __call__(self, x):
        return self.theirs(self.ours(x))


def mixed():
    jaxnn.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), dense(4, 4), nnx.BatchNorm(4, rngs=nnx.Rngs(1)), nn.ReLU(), Block(), nn.Linear(4, 2))


NAMES = [
    "0.weight", "0.bias", "1.bias", "1.kernel", "2.bias", "2.scale", "4.theirs.bias", "4.theirs.kernel", "4.ours.weight",
    "4.ours.bias", "5.weight", "5.bias",
]  # fmt: skip


def test_parameters_and_state_dict():
    net = mixed()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_buffers()] == ["2.mean", "2.var"]
    assert sorted(net.state_dict()) == sorted([*NAMES, "2.mean", "2.var"])
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())
    assert isinstance(net[1].kernel, nnx.Param) and net[1].kernel is dict(net.named_parameters())["1.kernel"]
    assert len(list(net.modules())) == 6, "modules of ours, those inside Flax's too"


def test_load_state_dict():
    net, other = mixed(), mixed()
    state = {k: v + 1 for k, v in net.state_dict().items()}
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    for key, value in other.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].numpy(), err_msg=key)
    other.load_state_dict({k: v + 1 for k, v in state.items()}, assign=True)
    assert float(other[1].kernel[0, 0]) == pytest.approx(float(net[1].kernel[0, 0]) + 2)
    missing = dict(state)
    del missing["1.kernel"], missing["4.ours.bias"]
    with pytest.raises(RuntimeError, match=r'Missing.*"1.kernel".*"4.ours.bias"'):
        other.load_state_dict(missing)
    with pytest.raises(RuntimeError, match='Unexpected.*"1.other"'):
        other.load_state_dict({**state, "1.other": jaxnn.ones(1)})


def test_pytorchs_loop_trains_all():
    net = nn.Sequential(nn.Linear(3, 4), dense(4, 4), nn.Tanh(), nn.Linear(4, 2))
    twin = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    for k in (0, 3):
        twin[k].load_state_dict(net[k].state_dict())
    twin[1].weight.set_value(net[1].kernel[...].T)
    twin[1].bias.set_value(net[1].bias[...])
    losses = []
    for model in (net, twin):
        optimizer = jaxnn.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(4):
            optimizer.zero_grad()
            loss = ((model(jaxnn.from_numpy(X)) - jaxnn.from_numpy(Y)) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:4], losses[4:], rtol=1e-5)
    close(net[1].kernel.detach().numpy().T, twin[1].weight.detach().numpy())


def test_flaxs_loop_trains_all():
    net = mixed()
    names = {n.replace(".", "/") for n, _ in net.named_parameters()}
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}

    @nnx.jit
    def step(net, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(net)
        optimizer.update(net, grads)
        return grads

    grads = step(net, optimizer)
    assert {"/".join(map(str, p)) for p, _ in nnx.to_flat_state(grads)} == names
    changed = [k for k, v in net.state_dict().items() if not np.array_equal(v.numpy(), before[k])]
    assert {"0.weight", "1.kernel", "2.scale", "4.ours.weight", "4.theirs.kernel", "5.bias", "2.mean"} <= set(changed)


def test_statistics_and_masks_go_on():
    net = nn.Sequential(nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1)))
    alone = nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0))
    first, second = net(jaxnn.from_numpy(X)), net(jaxnn.from_numpy(X))
    alone(X), alone(X)
    close(net[0].mean[...], alone.mean[...])
    assert not np.array_equal(first.detach().numpy() == 0, second.detach().numpy() == 0)
    assert int(net[1].rngs.count[...]) == 2


def test_lora_surgery():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net.eval()
    class LoRA(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.a = nnx.LoRAParam(jnp.full((3, 1), 0.5))
            self.b = nnx.LoRAParam(jnp.full((1, 4), 0.5))

        def forward(self, x):
            return self.base(x) + x @ self.a @ self.b

    net[0] = LoRA(net[0])
    net[2] = nnx.LoRA(4, 1, 2, base_module=net[2], rngs=nnx.Rngs(0))
    names = [n for n, _ in net.named_parameters()]
    assert names == ["0.a", "0.b", "0.base.weight", "0.base.bias", "2.lora_a", "2.lora_b", "2.base_module.weight",
                     "2.base_module.bias"]  # fmt: skip
    state = nnx.state(net, nnx.LoRAParam)
    assert len(nnx.to_flat_state(state)) == 4, "the types are what they were"
    net(jaxnn.from_numpy(X)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert copy.deepcopy(net)[0].a.tolist() == net[0].a.tolist()


class Listed(nn.Module):
    """Flax's containers by assignment, with layers of both kinds in them."""

    def __init__(self):
        super().__init__()
        self.layers = nnx.List([nn.Linear(3, 3), *(dense(3, 3) for _ in range(11))])
        self.table = nnx.Dict(scale=nnx.Param(jnp.ones(3)), inner=nn.Dropout(0.5))
        self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x) if isinstance(layer, nn.Module) else jaxnn.jax_function(layer)(x)
        return x * self.table["scale"]


def test_flaxs_containers_and_the_order_of_copies():
    """Copies name their tensors in the order of the first: averages go by that, and so do optimizers' states."""
    net = Listed()
    names = list(net.state_dict())
    assert len(names) == 2 + 22 + 1 + 4 and len(list(net.parameters())) == 2 + 22 + 1 + 2
    copies = [copy.deepcopy(net), nnx.clone(net), nnx.merge(*nnx.split(net)), pickle.loads(pickle.dumps(net))]
    nnx.jit(lambda m: None)(net)
    for made in (net, *copies):
        assert list(made.state_dict()) == names
    optimizer = jaxnn.optim.Adam(net.parameters())
    optimizer.zero_grad(), net(jaxnn.from_numpy(X)).sum().backward(), optimizer.step()
    assert net.table["scale"].grad is not None and net.eval().table["inner"].training is False
    other = jaxnn.optim.Adam(copies[0].parameters())
    other.load_state_dict(optimizer.state_dict())
    assert all(other.state[p]["exp_avg"].shape == p.shape for p in copies[0].parameters() if other.state[p])


def test_assigned_variables_and_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.scale = nnx.Param(jnp.full(3, 2.0))
            self.stat = nnx.BatchStat(jnp.zeros(3))

        def forward(self, x):
            return self.fc(x) * self.scale

    net = Net()
    assert list(net.state_dict()) == ["scale", "stat", "fc.weight", "fc.bias"]
    assert isinstance(net.scale, nn.Parameter) and isinstance(net.stat, nnx.BatchStat)
    net(jaxnn.from_numpy(X)).sum().backward()
    assert net.scale.grad is not None
    net.fc = dense(3, 3)
    assert list(net.state_dict())[-2:] == ["fc.bias", "fc.kernel"]
    shared = nnx.Param(jnp.ones(3))
    net.one, net.two = shared, shared
    assert net.one is net.two and [n for n, _ in net.named_parameters()].count("two") == 0
    del net.fc
    assert "fc.kernel" not in net.state_dict()


def test_conversion_reaches_flaxs():
    net = mixed().double()
    assert {str(v.dtype) for v in net.state_dict().values()} == {"torch.float64"}


def modes(net):
    return (net[4].ours.training, net[4].more[0].training, not net[4].more[1].deterministic, not net[2].use_running_average)


def test_modes_cross_both_ways():
    net = mixed()
    assert modes(net.eval()) == (False,) * 4
    assert modes(net.train()) == (True,) * 4

    class Outer(nnx.Module):
        def __init__(self):
            self.inner = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nnx.Dropout(0.5, rngs=nnx.Rngs(0)))

    outer = Outer()
    outer.eval()
    assert [m.training for m in outer.inner.modules()] == [False] * 3 and outer.inner[2].deterministic
    outer.train()
    assert [m.training for m in outer.inner.modules()] == [True] * 3 and not outer.inner[2].deterministic
    outer.set_attributes(use_running_average=True)
    assert (outer.inner[0].training, outer.inner[1].training) == (True, False)
    outer.set_attributes(nn.Dropout, deterministic=True)
    assert not outer.inner[0].training
    np.testing.assert_array_equal(jax.jit(outer.inner[0])(X), X)


@pytest.mark.parametrize("kind", [{"hijax": True}, {"ref": True}])
def test_variables_whose_writes_jax_tracks(kind):
    """Once a module of ours holds one, it is a parameter as any other."""
    holder = nn.Module()
    holder.p = nnx.Param(jnp.ones(3), **kind)
    assert isinstance(holder.p, nn.Parameter) and holder.p.tolist() == [1.0] * 3 and list(holder.state_dict()) == ["p"]
    with nnx.var_defaults(**kind):
        abstract = nnx.eval_shape(lambda: nn.Linear(2, 3))
    assert abstract.weight.get_value().shape == (3, 2)


def test_a_variable_that_holds_a_tensor():
    holder = nn.Module()
    holder.p = nnx.Param(jaxnn.ones(3))
    assert list(holder.state_dict()) == ["p"] and holder.p.tolist() == [1.0] * 3
    holder.p = nn.Parameter(jaxnn.ones(3))
    state = nnx.map(lambda path, p: p * 2, nnx.state(holder))
    assert np.asarray(state["p"][...]).tolist() == [2.0] * 3


def test_what_is_no_array_in_a_parameter():
    """A number or a marker that Flax put there: it is compared as what it is."""
    state = nnx.unpack(nn.Linear(2, 3)) if hasattr(nnx, "unpack") else nnx.state(nn.Linear(2, 3))
    state["weight"] = state["weight"].replace(0)
    if hasattr(nnx, "unpack"):
        assert nnx.merge(state).weight == 0 and nnx.merge(state).weight != 1


def test_texts_keys_and_streams_go_to_forward_as_they_are():
    class Net(nn.Module):
        def forward(self, x, *rest, **named):
            self.seen = [type(v) for v in (x, *rest, *named.values())]
            return x

    net, key, rngs = Net(), jax.random.key(0), nnx.Rngs(0)
    out = net(X, np.array(["a"]), key, rngs, other=nnx.Param(jnp.ones(2)), raw=jnp.ones(2))
    assert net.seen == [jaxnn.Tensor, np.ndarray, type(key), nnx.Rngs, nnx.Param, jaxnn.Tensor] and isinstance(out, jax.Array)
