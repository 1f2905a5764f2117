"""What is said once for many, put into each docstring that lacks it, so that ``help(nn.Conv2d)`` reads like a reference.

A docstring says what is its own. The rest comes from, in this order:

- a class's bases: ``Conv2d`` has the arguments that ``_ConvNd`` explains;
- the function that it names under ``Computes:``: ``nn.Hardtanh`` has the arguments of ``nn.functional.hardtanh``;
- its file's docstring, which explains what a family has in common: ``ops.fourier`` has ``norm`` for all transforms;
- its namespace's docstring: ``device`` means the same for all layers of ``nn``;
- `jaxnn.glossary`: words that mean the same everywhere, such as ``dim``, ``dtype`` and ``out``.

Arguments are taken one by one where their explanation is missing, other sections as a whole. The source is PyTorch's page of the
same name unless a docstring names another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import Enum
from functools import cache
from inspect import cleandoc, isclass
from types import FunctionType
from typing import Any

from . import glossary, kept_docstrings
from .core.memory.tensor_base import TensorBase

__all__ = ["PAGES", "complete", "complete_imported", "complete_late", "entries", "parameters", "sections"]

#: The namespaces that are completed, each with PyTorch's page of a name in it.
PAGES = {
    "nn": "generated/torch.nn.{}.html",
    "nn.functional": "generated/torch.nn.functional.{}.html",
    "nn.init": "nn.init.html#torch.nn.init.{}",
    "nn.attention": "generated/torch.nn.attention.{}.html",
    "nn.parallel": "generated/torch.nn.parallel.{}.html",
    "nn.utils": "generated/torch.nn.utils.{}.html",
    "nn.utils.rnn": "generated/torch.nn.utils.rnn.{}.html",
    "nn.utils.parametrize": "generated/torch.nn.utils.parametrize.{}.html",
    "nn.utils.parametrizations": "generated/torch.nn.utils.parametrizations.{}.html",
    "nn.utils.prune": "generated/torch.nn.utils.prune.{}.html",
    "optim": "generated/torch.optim.{}.html",
    "optim.lr_scheduler": "generated/torch.optim.lr_scheduler.{}.html",
    "optim.swa_utils": "optim.html#torch.optim.swa_utils.{}",
    "linalg": "generated/torch.linalg.{}.html",
    "fft": "generated/torch.fft.{}.html",
    "special": "special.html#torch.special.{}",
    "func": "generated/torch.func.{}.html",
    "autograd": "generated/torch.autograd.{}.html",
    "autograd.functional": "generated/torch.autograd.functional.{}.html",
    "autograd.graph": "autograd.html#torch.autograd.graph.{}",
    "autograd.forward_ad": "generated/torch.autograd.forward_ad.{}.html",
    "sparse": "generated/torch.sparse.{}.html",
    "amp": "amp.html#torch.amp.{}",
    "cuda": "generated/torch.cuda.{}.html",
    "signal.windows": "generated/torch.signal.windows.{}.html",
    "distributed": "distributed.html#torch.distributed.{}",
    "profiler": "profiler.html#torch.profiler.{}",
    "utils": "generated/torch.utils.{}.html",
    "utils.data": "data.html#torch.utils.data.{}",
    "utils.checkpoint": "checkpoint.html#torch.utils.checkpoint.{}",
    "testing": "testing.html#torch.testing.{}",
    "hub": "hub.html#torch.hub.{}",
    "masked": "masked.html",
    "random": "random.html#torch.random.{}",
    "overrides": "torch.overrides.html#torch.overrides.{}",
    "library": "library.html#torch.library.{}",
    "accelerator": "generated/torch.accelerator.{}.html",
    "": "generated/torch.{}.html",
    "Tensor": "generated/torch.Tensor.{}.html",
    "distributions": "distributions.html",
    "vision.ops": "https://docs.pytorch.org/vision/stable/generated/torchvision.ops.{}.html",
    "vision.models": "https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.{}.html",
    "vision.transforms": "https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.{}.html",
    "vision.transforms.functional": "https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.{}.html",
    "vision.datasets": "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.{}.html",
    "vision.utils": "https://docs.pytorch.org/vision/stable/generated/torchvision.utils.{}.html",
    "compat": "",
}
_ROOT = "https://docs.pytorch.org/docs/stable/"
PAGES = {name: page if page.startswith("https:") or not page else _ROOT + page for name, page in PAGES.items()}
#: What these namespaces hold that PyTorch has no page of: names of this library, and some of PyTorch's under other names.
_OWN = frozenset({
    "BatchStat", "FunctionCtx", "GradcheckError", "SparseTensor", "absolute_", "bitwise_not_", "engine_statistics", "finish",
    "follow_jax_default_device", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "jax_function",
    "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook", "reset_engine_statistics", "set_anomaly_enabled",
    "set_execution_mode", "special_expit",
})  # fmt: skip
#: The namespaces whose docstring explains arguments.
_EXPLAIN = frozenset({"nn", "vision.models"})
_ORDER = ("", "Args", "Shape", "Attributes", "Returns", "Yields", "Raises", "Example", "Computes", "Source")
_HEADER = re.compile(r"(Args|Shape|Attributes|Returns|Yields|Raises|Example|Computes|Source)s?:(?: +(.*))?|(Raises) (.*)")
_INLINE = re.compile(r"(?<=[.`)]) (?=(?:Shapes?|Source): |Raises )")  # in a docstring of one line
_ENTRY = re.compile(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): ")


@cache
def sections(text: str | None) -> dict[str, str]:
    """A docstring's parts by their headers; what stands before the first is under ``""``."""
    found: dict[str, list[str]] = {"": []}
    lines = found[""]
    split = (part for line in cleandoc(text or "").split("\n") for part in ([line] if line[:1] == " " else _INLINE.split(line)))
    for line in split:
        header = _HEADER.fullmatch(line)
        if header is not None:
            lines = found.setdefault(header[1] or header[3], [])
            line = header[2] or header[4] or ""
        lines.append(line)
    return {name: "\n".join(part).strip("\n").rstrip() for name, part in found.items()}


@cache
def entries(block: str) -> dict[str, str]:
    """An ``Args:`` block's explanations by the name of the argument."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in block.split("\n"):
        entry = _ENTRY.match(line)
        if entry is not None:
            names = [n.lstrip("*") for n in entry[1].split(", ")]
            found.update(dict.fromkeys(names, line[entry.end() :]))
        else:
            found.update({n: f"{found[n]}\n{line}" for n in names})
    return found


def parameters(value: Any) -> list[str]:
    """The names that a function, or a class's constructor, takes."""
    if isclass(value) and issubclass(value, Enum):
        return []
    f = _constructor(value) if isclass(value) else value
    declared = getattr(f, "__signature__", None)
    names: list[str] = [] if declared is None else list(declared.parameters)
    while f is not None:  # what stands around the author's function takes all it does, and perhaps ``out``
        code = getattr(f, "__code__", None)
        if code is not None:
            count = code.co_argcount + code.co_kwonlyargcount
            passing = code.co_flags & 12  # *args and **kwargs
            inner = getattr(f, "__wrapped__", None)
            if not (passing and (inner or names)):
                names += [n for n in code.co_varnames[: count + passing.bit_count()] if n not in names]
        f = getattr(f, "__wrapped__", None)
    unlike = ("self", "cls", "out") if getattr(value, "__name__", "").endswith("_") else ("self", "cls")
    return [n for n in dict.fromkeys(names) if n not in unlike]


def _constructor(value: type) -> Any:
    """``__init__`` or ``__new__``, whichever is nearer; a named tuple's are written by Python."""
    for base in value.__mro__ if not issubclass(value, tuple) else ():
        for name in ("__init__", "__new__"):
            if name in vars(base):
                return getattr(base, name)
    return value.__init__  # type: ignore[misc]


def _home(value: Any) -> str:
    """The module in which the author wrote it: below what the registry and the checks of arguments put around."""
    while (inner := getattr(value, "raw", None) or getattr(value, "__wrapped__", None)) is not None:
        value = inner
    return value.__module__ or ""


def _named(text: str) -> Any:
    found: Any = sys.modules["jaxnn"]
    for part in text.strip("`.").split("."):
        found = getattr(found, part)
    return found


def _others(value: Any) -> Iterator[dict[str, str]]:
    """What other docstrings say of this one too, the nearest first."""
    chain = [value]
    inner = value
    while (inner := getattr(inner, "__wrapped__", None)) is not None:  # that of an in-place version is the operator
        if inner.__doc__ and not inner.__doc__.startswith(sections(value.__doc__)[""]):
            yield {k: v for k, v in sections(inner.__doc__).items() if k in ("Args", "Shape", "Raises")}
    if isclass(value):
        chain = [c for c in value.__mro__ if c.__module__.startswith("jaxnn.")]
        for base in chain[1:]:
            own = vars(base).get("__doc__")
            if own:
                yield {k: v for k, v in sections(own).items() if k in ("Args", "Shape", "Attributes", "Raises")}
    computes = next((t["Computes"] for c in chain if "Computes" in (t := sections(c.__doc__))), None)
    if computes:
        f = _named(computes)
        yield {k: v for k, v in sections(f.__doc__).items() if k in ("Args", "Shape", "Raises")}
        chain.append(f)
    for home in dict.fromkeys(_home(c) for c in chain):
        if home.startswith("jaxnn."):  # a class that takes whatever its base takes has none of the file's arguments
            wanted = ("Shape",) if isclass(value) and parameters(value) == ["args", "kwargs"] else ("Args", "Shape")
            yield {k: v for k, v in sections(sys.modules[home].__doc__).items() if k in wanted}


def _completed(value: Any, page: str, namespace: str | None) -> str:
    text = dict(sections(value.__doc__))
    known = dict(entries(text.get("Args", "")))
    taken = parameters(value)
    missing = [n for n in taken if n not in known]
    if missing or isclass(value) or "Shape" not in text:
        for other in _others(value):
            theirs = entries(other.pop("Args", ""))
            if taken == ["args", "kwargs"] and isclass(value):  # which the next base takes
                known = theirs | known
            known.update({n: theirs[n] for n in missing if n in theirs})
            missing = [n for n in missing if n not in theirs]
            text = {**other, **text}
        if known and taken == ["args", "kwargs"]:
            missing = []  # these are what is known already
        common = _GLOSSARY | entries(sections(namespace).get("Args", ""))
        known.update({n: common[n] for n in missing if n in common})
        text["Args"] = _listed(known, taken)
    source = text.get("Source", "").removesuffix(".")
    if page and _ROOT not in source and page not in source:
        text["Source"] = f"{source}; {page}" if source else page
    return "\n\n".join(_printed(name, text[name]) for name in _ORDER if text.get(name))


def _listed(known: dict[str, str], order: list[str]) -> str:
    """An ``Args:`` block in the order of the signature; neighbours with one explanation share a line."""
    lines: list[list[str]] = []
    for name in sorted(known, key=lambda n: order.index(n) if n in order else len(order)):
        if lines and lines[-1][1] == known[name]:
            lines[-1][0] += f", {name}"
        else:
            lines.append([name, known[name]])
    return "\n".join(f"    {names}: {said}" for names, said in lines)


def _printed(name: str, part: str) -> str:
    if not name:
        return part
    return f"{name}:\n{part}" if part.startswith(" ") else f"{name}: {part}"


def _unfinished(*namespaces: str) -> Iterator[tuple[Any, tuple[str, str | None]]]:
    """Public functions and classes of namespaces that are not completed, with what `_completed` takes; they now count as completed."""
    for namespace in namespaces:
        inside: Any = TensorBase if namespace == "Tensor" else sys.modules[f"jaxnn.{namespace}".rstrip(".")]
        page = PAGES[namespace]
        for name in list(vars(inside)) if namespace in ("", "Tensor") else getattr(inside, "__all__", list(vars(inside))):
            value = vars(inside).get(name)
            if name.startswith("_") or not isinstance(value, (FunctionType, type)) or not value.__doc__:
                continue
            if id(value) not in _DONE and (value.__module__ or "").startswith(("jaxnn", "torch")):
                _DONE.add(id(value))
                found = page if name not in _OWN else PAGES["Tensor"] if name.endswith("_") else ""  # a method alone
                yield value, (found.format(name), inside.__doc__ if namespace in _EXPLAIN else None)


def complete(*namespaces: str) -> None:
    """Complete the docstrings of the public functions and classes of namespaces, or of the methods of ``Tensor``.

    Args:
        namespaces: keys of `PAGES`; what was completed under another name stays as it is.
    """
    for value, how in _unfinished(*namespaces):
        value.__doc__ = _completed(value, *how)


def complete_imported() -> None:
    """Complete the docstrings of all namespaces that are imported: with those that were kept, or else to keep."""
    found = list(_unfinished(*(name for name in PAGES if name == "Tensor" or f"jaxnn.{name}".rstrip(".") in sys.modules)))
    key = kept_docstrings.key_of_sources()
    texts = kept_docstrings.read(key)
    if texts is not None and len(texts) == len(found):
        for (value, _), text in zip(found, texts, strict=True):
            value.__doc__ = text
    else:
        for value, how in found:
            value.__doc__ = _completed(value, *how)
        kept_docstrings.write(key, [value.__doc__ for value, _ in found])


def complete_late(module: str) -> None:
    """Complete the docstrings of a namespace that is imported at first use."""
    namespace = module.removeprefix("jaxnn.")
    if namespace in PAGES:
        complete(namespace)


_GLOSSARY = entries(sections(glossary.__doc__)["Args"])
#: Public functions and classes live as long as the process.
_DONE: set[int] = set()
