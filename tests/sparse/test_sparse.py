"""Sparse tensors beside PyTorch's: text, forms, functions, gradients, and a graph network that trains to the same losses."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import jaxnn

#: S: three values in (2, 3). U: two of its values share a place. E: the identity. C: S by rows. D: dense (3, 4). T: torch.
EXPRESSIONS = """
S
U
C
T.sparse_coo_tensor(I, V.double())
T.sparse_coo_tensor(I, V, (2, 3), requires_grad=True)
T.sparse_coo_tensor(I, V, (2, 3, 4))
T.sparse_coo_tensor(I, T.ones(2), (2, 3))
T.sparse_coo_tensor([[0, 1]], [1, 2])
T.sparse_coo_tensor(-I, V)
T.sparse_coo_tensor(I[0], V)
T.sparse_coo_tensor((2, 3))
T.sparse_coo_tensor(I, T.ones(3, 2), (2, 3, 2))
T.sparse_coo_tensor(I, T.ones(3, 2), (2, 3, 2)).to_dense()
T.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3.0, 4.0, 5.0], (2, 3), requires_grad=True)
T.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3, 4, 5])
T.sparse.FloatTensor(I, V, T.Size([2, 3]))
T.sparse.FloatTensor(2, 3)
U.indices()
U.values()
U.coalesce().indices()
U.coalesce().values()
U.is_coalesced(), U.coalesce().is_coalesced(), U._nnz(), U.coalesce()._nnz(), U._indices(), U._values()
C.indices()
C.crow_indices(), C.col_indices(), C.values()
S.crow_indices()
T.ones(2).indices()
T.ones(2).values()
T.ones(2).coalesce()
T.ones(2).crow_indices()
T.ones(2).col_indices()
T.ones(2).sparse_dim(), T.ones(2).dense_dim(), T.ones(2).to_dense()
T.ones(2).is_coalesced()
S.sparse_dim(), S.dense_dim(), S.shape, S.size(1), S.dim(), S.numel(), len(S), S.layout, C.layout, S.is_sparse, C.is_sparse
C.is_sparse_csr, S.dtype, S.device, S.requires_grad, S.is_contiguous(), E.ndim, S.element_size(), S.is_floating_point()
U.to_dense(), C.to_dense(), S.to_dense()
E.to_dense().to_sparse()
T.eye(2).to_sparse(1)
T.eye(2).to_sparse_csr()
T.eye(2).to_sparse(layout=T.sparse_csr)
T.tensor([[0, 3], [0, 0]]).to_sparse()
S.to_sparse_csr(), C.to_sparse(), U.to_sparse_csr(), C.to_sparse_coo()
S @ D, C @ D, T.mm(S, D), T.spmm(S, D), T.sparse.mm(S, D), S.mm(D), S.matmul(D)
E @ T.ones(3, 3)
S @ T.ones(3), T.mv(S, T.ones(3))
S @ S.t(), U @ S.t(), T.sparse.mm(E, S)
T.ones(4, 2) @ S
T.addmm(T.ones(2, 4), S, D), T.sparse.addmm(T.ones(2, 4), S, D, beta=2, alpha=3)
T.nn.functional.linear(S, T.ones(5, 3))
T.sparse.mm(T.ones(2, 2), T.ones(2, 2))
S * 2, 2 * S, S / 2, -S, S * T.tensor(3.0)
S + 1
E + T.eye(2)
T.eye(2) + E, T.eye(2) - E
(S + S).to_dense(), (S - U).to_dense(), S + U.coalesce(), E + E, E - E
(S * U).to_dense(), S * T.arange(6.0).reshape(2, 3), E * E
S.t(), S.transpose(0, 1), S.t().to_dense(), S.T, S.mT
S.sum(), T.sum(U), T.sparse.sum(S), S.norm()
S.sum(0), T.sparse.sum(U, 0), T.sparse.sum(U, 1), T.sparse.sum(U, (0, 1))
T.sparse.softmax(S, 1), T.sparse.log_softmax(U, 1), T.sparse.softmax(U, 0)
S.abs(), S.sqrt(), S.relu(), S.sin(), U.tanh(), S**2, S.sign(), (S * 0.5).expm1()
S.double(), S.to(T.float64), S.to("cpu"), S.clone(), S.detach(), S.half()
T.ones(2, 3).sparse_mask(S.coalesce())
S.numpy()
S.tolist()
S.item()
S.reshape(6)
T.sparse_coo, T.sparse_csr, T.strided
T.sparse_coo_tensor(I, V, (2, 3), dtype=T.float64)
T.sparse_coo_tensor(I, V.clone().requires_grad_(), (2, 3))
T.sparse_csr_tensor([0, 1, 3], [2, 0, 2], V.clone().requires_grad_(), (2, 3))
""".strip().splitlines()


def said(lib, expression):
    i, v = lib.tensor([[0, 1, 1], [2, 0, 2]]), lib.tensor([3.0, 4.0, 5.0])
    names = {
        "T": lib, "I": i, "V": v, "S": lib.sparse_coo_tensor(i, v, (2, 3)), "E": lib.eye(2).to_sparse(),
        "U": lib.sparse_coo_tensor(lib.tensor([[1, 0, 1], [2, 0, 2]]), v, (2, 3)), "D": lib.arange(12.0).reshape(3, 4),
        "C": lib.sparse_csr_tensor([0, 1, 3], [2, 0, 2], v, (2, 3)),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(eval(expression, names))
        except Exception as error:
            return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_beside_pytorch(expression):
    assert said(jaxnn, expression) == said(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "S.exp()", "S.view(6)", "S[0]", "T.bmm(S, S)", "T.cat([S, S])", "T.stack([S, S])", "S.index_select(0, I[0])", "T.zeros_like(S)",
        "S.to_sparse(1)", "T.sparse.mm(S, D, 'mean')", "S.sum(0, keepdim=True)", "C.t()", "S == S", "S.unsqueeze(0)", "S.permute(1, 0)",
        "S.zero_()", "S.mul_(2)", "T.ones_like(S)", "T.rand_like(S)", "T.nn.Parameter(S)", "T.nn.Buffer(S)", "S.max()", "list(S)",
        "S.__iadd__(S)", "T.exp(S)", "T.nonzero(S)", "T.isnan(S)", "S.new_zeros(3)", "T.einsum('ij->ji', S)", "T.tensor(S)",
        "T.nn.Module().register_buffer('s', S)", "T.nn.functional.dropout(S)", "T.flatten(S)", "S.backward()",
        "T.zeros(2, 3, layout=T.sparse_coo)", "T.sparse_csr_tensor([[0, 1]], [[0]], [[1.0]])",
    ],
)  # fmt: skip
def test_refusals_are_named(expression):
    assert said(jaxnn, expression).startswith("NotImplementedError: ")


def test_refused_places():
    with pytest.raises(RuntimeError, match="found index 2"):
        jaxnn.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (2,))
    with pytest.raises(RuntimeError, match="do not make a matrix"):
        jaxnn.sparse_csr_tensor([0, 1, 2], [2, 0, 2], [3.0, 4.0, 5.0], (2, 3))
    with pytest.raises(AttributeError, match=r"jaxnn lacks torch\.sparse\.spsolve"):
        jaxnn.sparse.spsolve


PROGRAMS = {
    "mm": lambda lib, s, d: lib.sparse.mm(s, d),
    "spmm of sums": lambda lib, s, d: lib.spmm((s + s * 2).coalesce(), d),
    "transposed": lambda lib, s, d: lib.sparse.mm(s.t(), d[:2]),
    "to_dense": lambda lib, s, d: s.to_dense() @ d,
    "softmax": lambda lib, s, d: lib.sparse.softmax(s, 1).to_dense() * d.t()[:2],
    "sum": lambda lib, s, d: lib.sparse.sum(s, 0).to_dense() * d.sum(1),
    "sparse sparse": lambda lib, s, d: lib.sparse.mm(s, s.t()).to_dense(),
    "to_sparse": lambda lib, s, d: lib.sparse.mm(d.t()[:2].to_sparse(), d),
    "addmm": lambda lib, s, d: lib.sparse.addmm(d[:2], s, d, beta=0.5, alpha=2.0),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients(name):
    def run(lib):
        i = lib.tensor([[0, 1, 1, 0], [2, 0, 2, 2]])
        v = lib.tensor([3.0, 4.0, 5.0, -1.0], dtype=lib.float64, requires_grad=True)
        d = lib.arange(9.0, dtype=lib.float64).reshape(3, 3).add(0.5).requires_grad_()
        s = lib.sparse_coo_tensor(i, v, (2, 3))
        found = PROGRAMS[name](lib, s, d)
        slopes = lib.autograd.grad((found * found.cos()).sum(), [v, d], allow_unused=True)
        return [found.detach().numpy(), *(0 if g is None else g.to_dense().numpy() for g in slopes)]

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_leaves_and_copies():
    for lib in (torch, jaxnn):
        a = lib.eye(2).to_sparse().requires_grad_()
        lib.sparse.mm(a, lib.ones(2, 2)).sum().backward()
        assert a.grad.is_sparse and a.grad.to_dense().tolist() == [[2.0, 0.0], [0.0, 2.0]]
        assert isinstance(a, lib.Tensor) and a.is_leaf
        assert copy.deepcopy(a).to_dense().tolist() == pickle.loads(pickle.dumps(a.detach())).to_dense().tolist()


def graph_network(lib, layout):
    """Kipf and Welling, "Semi-supervised classification with graph convolutional networks" (2017)."""
    nn, F = lib.nn, lib.nn.functional

    class Convolution(nn.Module):
        def __init__(self, inside, outside):
            super().__init__()
            self.weight = nn.Parameter(lib.empty(inside, outside))
            self.bias = nn.Parameter(lib.zeros(outside))
            nn.init.xavier_uniform_(self.weight)

        def forward(self, x, adjacency):
            return lib.spmm(adjacency, lib.mm(x, self.weight)) + self.bias

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Convolution(6, 8), Convolution(8, 3)

        def forward(self, x, adjacency):
            x = F.dropout(F.relu(self.first(x, adjacency)), 0.5, training=self.training)
            return F.log_softmax(self.second(x, adjacency), dim=1)

    rng = np.random.default_rng(0)
    edges = rng.random((20, 20)) < 0.15
    dense = (edges | edges.T | np.eye(20, dtype=bool)).astype(np.float32)
    dense /= dense.sum(1, keepdims=True)
    places = np.stack(np.nonzero(dense))
    adjacency = lib.sparse_coo_tensor(lib.from_numpy(places), lib.from_numpy(dense[tuple(places)]), (20, 20)).coalesce()
    if layout == "csr":
        adjacency = adjacency.to_sparse_csr()
    x, y = lib.from_numpy(rng.random((20, 6), np.float32)), lib.from_numpy(rng.integers(0, 3, 20))
    lib.manual_seed(0)
    net = Network()
    optimizer = lib.optim.Adam(net.parameters(), lr=0.02, weight_decay=5e-4)
    losses = []
    for step in range(30):
        if lib is jaxnn and step == 29:
            lib.reset_engine_statistics()
        net.train()
        optimizer.zero_grad()
        loss = F.nll_loss(net(x, adjacency)[:10], y[:10])
        loss.backward()
        optimizer.step()
        if lib is jaxnn and step == 29:
            assert lib.engine_statistics()["cuts"] == 1
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_a_graph_network_trains_to_the_same_losses(layout):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(graph_network(jaxnn, layout), graph_network(torch, layout), rtol=2e-5)


def test_values_at_one_place_add_up_in_their_type():
    """Booleans of one place are true if any is; bytes wrap around."""
    cases = (([True, False, True], "bool"), ([False, True, False], "bool"), ([200, 100, 7], "uint8"), ([1.5, -1.5, 2.0], "float16"))
    for values, dtype in cases:
        found = []
        for t in (torch, jaxnn):
            s = t.sparse_coo_tensor([[1, 1, 0]], t.tensor(values, dtype=getattr(t, dtype)), (3,)).coalesce()
            found.append((str(s.values().dtype).rpartition(".")[2], s.indices().tolist(), s.values().tolist()))
        assert found[0] == found[1]
