"""Keywords that PyTorch takes beside the names in its documentation: numpy's, and those of its other signatures."""

import pytest
import torch

import jaxnn

CALLS = """
x.softmax(axis=1)
x.squeeze(axis=0)
x.unsqueeze(axis=0)
x.unbind(axis=0)
x.select(axis=0, index=0)
x.narrow(axis=0, start=0, length=1)
x.max(axis=1)
x.sum(axis=1, keepdims=True)
x.clone().cumsum_(axis=1)
x.clone().unsqueeze_(axis=0)
x.swapaxes(axis0=0, axis1=1)
x.clone().swapaxes_(axis0=0, axis1=1)
x.view(size=(4, 3))
x.view(dtype=l.int32)
x.reshape(shape=(4, 3))
x.permute(dims=(1, 0))
x.expand(size=(2, 3, 4))
x.repeat(repeats=(2, 1))
x.tile(dims=(2,))
x.flip(dims=[0])
x.clone().resize_(size=(2, 2))
x.clone().copy_(other=x + 1)
x[:1].expand_as(x).sum_to_size(size=(1, 4))
x.split(split_size=2)
l.cat([x, x], axis=1)
l.concat([x], axis=0)
l.stack([x, x], axis=1)
l.softmax(x, axis=1)
l.unsqueeze(x, axis=1)
l.topk(x, 2, axis=0)
l.sort(x, axis=0)
l.chunk(x, 2, axis=1)
l.gather(x, axis=1, index=l.zeros(3, 1, dtype=l.long))
l.index_select(x, axis=0, index=l.tensor([0]))
l.std(x, axis=0)
l.var(x, axis=0, keepdims=True, correction=0)
l.var_mean(x, axis=0)
l.cross(x[:, :3], x[:, :3] + 1, axis=1)
l.diff(x, axis=0)
l.quantile(x, 0.5, axis=0, keepdims=True)
l.median(x, axis=1)
l.logsumexp(x, axis=1, keepdims=True)
l.unbind(x, axis=0)
l.tensor_split(x, sections=2)
l.tensor_split(x, indices=(1,))
l.dot(input=x[0], tensor=x[1])
l.sum(x, axis=0, out=l.empty(4))
l.cholesky_solve(input=x[:, :1], input2=l.eye(3))
l.cholesky_inverse(input=l.eye(3), upper=True)
l.matrix_power(input=l.eye(3), n=2)
l.linalg.norm(x, axis=0)
l.linalg.vector_norm(x=x, axis=1)
l.linalg.pinv(input=x)
l.fft.fft(x, axis=0)
l.special.logsumexp(x, axis=0)
l.zeros(size=(2, 3))
l.full(size=(2, 3), fill_value=1.0)
l.randint(low=0, high=3, size=(2,))
x.new_full(size=(2,), fill_value=1)
l.nn.functional.one_hot(input=x.long(), num_classes=12)
x.sum(axis=1, dims=2)
x.std(dim=0, axis=1)
x.std(0, dim=1)
x.var(True, unbiased=False)
x.sum(0, axis=1)
x.topk(2, dim=0, axis=1)
x.view(3, 4, size=(4, 3))
x.flip(0, dims=(1,))
x.split(2, split_size=1)
l.linalg.det(A=l.eye(2), input=l.eye(2))
l.add(x, 2, x, alpha=3)
x.view(sizes=(4, 3))
l.cat([x], axes=0)
l.linalg.det(dim=1)
""".strip().splitlines()


def outcome(library, call):
    library.manual_seed(0)
    x = library.arange(12.0).reshape(3, 4)
    try:
        found = eval(call, {"l": library, "x": x})
    except Exception as error:
        return type(error)
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    return [torch.from_numpy(t.numpy()) for t in found]


@pytest.mark.parametrize("call", CALLS)
def test_keyword(call):
    expected, found = outcome(torch, call), outcome(jaxnn, call)
    if isinstance(expected, type):
        assert found is expected
    else:
        torch.testing.assert_close(found, expected)
