"""The paths by which published programs import, and the small namespaces that they ask, give what PyTorch's give."""

import importlib

import pytest
import torch
import torch.fx
import torch.hub
import torch.utils.data.distributed

import jaxnn

#: One a line: what published model libraries and the tutorials import.
IMPORTS = """
import torch.backends.cudnn as cudnn
import torch.distributed as dist
import torch.fx
import torch.hub
import torch.jit
import torch.nn.functional as F
import torch.nn.init as init
import torch.nn.utils.prune as prune
import torch.optim.lr_scheduler as lr_scheduler
import torch.utils.checkpoint as checkpoint
import torch.utils.data as data
import torch.utils.tensorboard
from torch import Tensor, jit, nn, optim
from torch.amp import GradScaler, autocast
from torch.autograd import Function, Variable, grad
from torch.autograd.function import once_differentiable
from torch.compiler import disable, is_compiling
from torch.cuda.amp import GradScaler, autocast
from torch.distributions import Categorical, Distribution, Normal, kl_divergence
from torch.distributions.categorical import Categorical
from torch.distributions.constraints import Constraint, positive
from torch.distributions.kl import kl_divergence, register_kl
from torch.distributions.multivariate_normal import MultivariateNormal
from torch.distributions.normal import Normal
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical
from torch.distributions.studentT import StudentT
from torch.distributions.transformed_distribution import TransformedDistribution
from torch.distributions.transforms import Transform
from torch.distributions.utils import broadcast_all, lazy_property
from torch.sparse import FloatTensor, mm
from torch.hub import load_state_dict_from_url
from torch.jit import Final
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.common_types import _size_2_t, _size_4_t
from torch.nn.modules.activation import MultiheadAttention
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.loss import _Loss, _WeightedLoss
from torch.nn.modules.module import Module
from torch.nn.modules.utils import _ntuple, _pair, _single, _triple
from torch.nn.parameter import Parameter, UninitializedParameter
from torch.nn.utils import clip_grad_norm_, parameters_to_vector
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.nn.utils.stateless import functional_call
from torch.optim.adam import Adam
from torch.optim.lr_scheduler import LRScheduler, _LRScheduler
from torch.optim.optimizer import Optimizer
from torch.optim.sgd import SGD
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.types import Device, FileLike, Number
from torch.utils.data.dataloader import DataLoader, default_collate
from torch.utils.data.dataset import Dataset, IterableDataset, Subset
from torch.utils.data.distributed import DistributedSampler
from torch.utils.data.sampler import RandomSampler, Sampler, SubsetRandomSampler
from torch.utils.dlpack import from_dlpack
from torch.utils.hooks import RemovableHandle
""".strip().splitlines()


@pytest.mark.parametrize("line", IMPORTS)
def test_import(line):
    theirs, ours = {}, {}
    exec(line, theirs)
    exec(line.replace("torch", "jaxnn", 1), ours)
    found = {name for name in theirs if not name.startswith("__")}
    assert {"jaxnn" if name == "torch" else name for name in found} <= set(ours)
    for name in found - {"torch"}:
        assert isinstance(ours[name], type) or not isinstance(theirs[name], type)


def block(lib):
    jit = lib.jit

    class Block(lib.nn.Module):
        scale: jit.Final[float]

        def __init__(self):
            super().__init__()
            self.linear = lib.nn.Linear(3, 2)
            self.scale = 2.0

        @jit.ignore
        def ignored(self, x):
            return x + 1

        @jit.ignore(drop=True)
        def dropped(self, x):
            return x * 3

        @jit.unused
        def unused(self, x):
            return -x

        @lib.compiler.disable
        def eager(self, x):
            return x.abs()

        @lib.compiler.disable(recursive=False)
        def flat(self, x):
            return x.sin()

        @jit.export
        def forward(self, x):
            lib._assert(x.shape[-1] == 3, "three columns")
            if not jit.is_scripting() and not jit.is_tracing() and not lib.compiler.is_compiling():
                x = self.flat(self.eager(self.unused(self.dropped(self.ignored(x)))))
            return self.linear(x) * jit.annotate(float, self.scale)

    return Block()


def numbers(lib):
    lib.manual_seed(0)
    net = lib.compile(block(lib)) if lib is jaxnn else block(lib)
    return net(lib.ones(2, 3)).tolist()


def test_decorators_leave_the_module_as_it_is():
    torch.testing.assert_close(numbers(jaxnn), numbers(torch))
    for lib in (torch, jaxnn):
        with pytest.raises(AssertionError, match="three columns"):
            block(lib)(lib.ones(2, 4))


def test_script_gives_the_same_numbers():
    def gate(lib):
        @lib.jit.script
        def f(x, y):
            return lib.sigmoid(x) * y

        return f(lib.arange(3.0), lib.ones(3)).tolist()

    assert gate(jaxnn) == gate(torch)
    net = jaxnn.nn.Linear(2, 2)
    assert jaxnn.jit.script(net) is net
    assert jaxnn.fx.wrap("len") == "len"
    for lib in (torch, jaxnn):
        with pytest.raises(RuntimeError, match="either a callable or string name"):
            lib.fx.wrap(3)


def test_compiling_is_tracing_by_jax():
    import jax

    seen = []
    jax.jit(lambda x: (seen.append(jaxnn.compiler.is_compiling()), x)[1])(1.0)
    assert seen == [True] and not jaxnn.compiler.is_compiling()


def test_once_differentiable():
    def program(lib, twice):
        class Cube(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            @lib.autograd.function.once_differentiable
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return g * 3 * x**2

        x = lib.tensor([1.0, 2.0], requires_grad=True)
        (first,) = lib.autograd.grad(Cube.apply(x).sum() * x.sum(), x, create_graph=twice)
        if twice:
            first.sum().backward()
        return first.tolist()

    assert program(jaxnn, False) == program(torch, False)
    for lib in (torch, jaxnn):
        with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
            program(lib, True)


@pytest.mark.parametrize("path", ["jit.trace", "distributed.ProcessGroupGloo", "fx.Tracer", "compiler.reset"])
def test_what_is_missing_is_named(path):
    namespace, _, name = path.partition(".")
    assert hasattr(importlib.import_module(f"torch.{namespace}"), name)
    with pytest.raises(AttributeError, match=rf"jaxnn lacks torch\.{path}$"):
        getattr(importlib.import_module(f"jaxnn.{namespace}"), name)
