"""The table of names for foreign source: PyTorch's, harmless or refusing as said, and never a fake for what has a meaning."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import torch

import jaxnn
from jaxnn.compat.door.facade import Names
from jaxnn.compat.door.paths import ELSEWHERE, PATHS
from jaxnn.compat.foreign import OBJECTS, namespaces, rows
from jaxnn.compat.foreign.making import KINDS

ROOT = Path(__file__).resolve().parents[2]
ROWS = list(rows())
NAMES = Names()
REAL = ("torch.distributions", "torch.utils._pytree", "torch.random", "torch.profiler", "torch.nn", "torch.optim", "torch.linalg",
        "torch.fft", "torch.autograd", "torch.utils.data", "torch.futures", "torch.multiprocessing")  # fmt: skip
#: Parts of names in these namespaces that have none: other devices' and PyTorch's inner ones.
INNER = (".quantized.", ".emit_", "datapipe", "DataPipe", "DataChunk", "graph", "profiler_legacy", "scatter_gather", "varlen",
         "attention.bias", "._", "scaled_mm", "grouped_mm", "ScalingType", "SwizzleType", "np_str_obj")  # fmt: skip


def theirs(path):
    """PyTorch's value of a name; the test is skipped where its module needs what is not here."""
    module, _, name = path.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", sorted({*namespaces(), *ELSEWHERE, *OBJECTS} - {"torch.ops", "torch.classes"}))
def test_modules_are_pytorch_s(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(path)


def test_names_are_pytorch_s():
    missing = []
    for path, _, _ in ROWS:
        try:
            theirs(path)
        except AttributeError:
            missing.append(path)
    for path, homes in ELSEWHERE.items():
        missing += [
            f"{path}.{n}" for names in homes.values() for n in (n.partition("=")[0] for n in names.split())
            if not hasattr(importlib.import_module(path), n)
        ]
    assert not missing


def test_no_name_twice_and_none_that_is_real():
    paths = [path for path, _, _ in ROWS]
    assert len(paths) == len(set(paths))
    for path, _, _ in ROWS:
        module, _, name = path.rpartition(".")
        assert not path.startswith(REAL) or any(part in path for part in INNER), f"{path}: what has a meaning is no row of this table"
        facade = NAMES.module(module)
        source = vars(facade)["_facade"][0]
        assert name not in getattr(source, "__all__", ()), f"{path} is real: take it out of the table"


def value(path):
    module, _, name = path.rpartition(".")
    return getattr(NAMES.module(module), name)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_does_what_it_says(kind):
    mark = object()
    for path, its, why in ROWS:
        if its != kind:
            continue
        ours = value(path)
        if kind in ("refusing", "class"):
            with pytest.raises(NotImplementedError, match=re.escape(f"jaxnn lacks {path}: {why}")):
                ours(1, 2)
            if kind == "class":
                assert not isinstance(torch.ones(1), ours) and issubclass(type("Mine", (ours,), {}), ours)
        elif kind == "decorator":
            assert ours(len) is len and ours(recursive=False)(len) is len
        elif kind == "identity":
            assert ours(mark) is mark
        elif kind == "block":
            with ours("anything"):
                pass
        elif kind == "module":
            assert issubclass(ours, jaxnn.nn.Module) and not isinstance(jaxnn.nn.Identity(), ours)
            with pytest.raises(NotImplementedError, match=re.escape(f"jaxnn lacks {path}: {why}")):
                ours()
        elif kind == "base module":
            assert isinstance(type("Mine", (ours,), {})(), jaxnn.nn.Module)
        elif kind == "base":
            assert isinstance(ours(), ours)
        elif kind == "opaque":
            assert isinstance(ours(mark), ours)
        elif kind != "constant":
            assert ours() == {"nothing": None, "none": None, "false": False, "zero": 0, "list": []}[kind]


def test_questions_have_pytorch_s_answers():
    """What answers no or nothing here does so in PyTorch without such a device, and outside of its compilers."""
    for path, kind, _ in ROWS:
        if kind in ("false", "zero", "list") and path.startswith(("torch.xpu.", "torch.mps.", "torch.mtia.", "torch.onnx.")):
            if path.rpartition(".")[2] in ("is_initialized", "is_bf16_supported", "is_tf32_supported", "recommended_max_memory",
                                           "current_allocated_memory", "driver_allocated_memory"):  # fmt: skip
                continue  # these raise where PyTorch is built without the device
            try:
                asked = theirs(path)()
            except (RuntimeError, AssertionError, AttributeError):
                continue
            assert asked == value(path)(), path


def test_operators_by_name():
    ops = NAMES.module("torch").ops
    x = NAMES.module("torch").arange(6.0).reshape(2, 3)
    y = torch.arange(6.0).reshape(2, 3)
    assert ops.aten.mm.default(x, x.T).tolist() == torch.ops.aten.mm.default(y, y.T).tolist()
    assert ops.aten.add.Tensor(x, x, alpha=2).tolist() == (3 * x).tolist()
    for call in (lambda lib: lib.aten.no_such, lambda lib: lib.mine.no_such, lambda lib: lib.aten.mm.no_such):
        for lib in (ops, torch.ops):
            with pytest.raises(AttributeError, match="no_such"):
                call(lib)
    for lib in (ops, torch.ops):
        with pytest.raises(OSError, match="Could not load this library"):
            lib.load_library("/nonexistent/lib.so")


def test_custom_operators():
    def program(lib, space):
        @lib.library.custom_op(f"{space}::scale", mutates_args=())
        def scale(x: torch.Tensor, k: float) -> torch.Tensor:
            return x * k

        @scale.register_fake
        def _(x, k):
            return lib.empty_like(x)

        def keep(ctx, inputs, output):
            ctx.k = inputs[1]

        scale.register_autograd(lambda ctx, g: (g * ctx.k * 10, None), setup_context=keep)
        x = lib.ones(2, requires_grad=True)
        y = getattr(lib.ops, space).scale(x, 3.0)
        y.sum().backward()
        return y.tolist(), x.grad.tolist()

    assert program(NAMES.module("torch"), "door_ours") == program(torch, "door_theirs")


def test_operators_by_autograd_s_keys():
    def program(lib, space):
        library, calls = lib.library.Library(space, "FRAGMENT"), []

        def kernel(x):
            calls.append("device")
            return x.detach() * 2

        class Twice(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                calls.append("function")
                return kernel(x)

            @staticmethod
            def backward(ctx, g):
                return g * 7

        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", kernel, "CPU")
        library.impl("twice", Twice.apply, "AutogradCPU")
        x = lib.ones(2, requires_grad=True)
        y = getattr(lib.ops, space).twice(x)
        y.sum().backward()
        return y.tolist(), x.grad.tolist(), calls

    assert program(NAMES.module("torch"), "keys_ours") == program(torch, "keys_theirs")


def test_the_page_lists_the_table():
    page = (ROOT / "docs" / "pytorch_names.md").read_text()
    spec = importlib.util.spec_from_file_location("write_names", ROOT / "tools" / "write_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert page == module.page(), "run python tools/write_names.py"


def test_real_namespaces_are_named_once():
    assert not PATHS & set(OBJECTS)
