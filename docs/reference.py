"""The reference by PyTorch's names: one page a namespace, made anew at every build from what the namespace holds."""

import importlib
import inspect
import re
import types
from pathlib import Path

#: The pages: namespace and what it holds.
PAGES = {
    "jaxnn": "Functions of tensors, `torch.NAME` in PyTorch.",
    "jaxnn.nn": "Layers. Each is a `flax.nnx` module.",
    "jaxnn.nn.functional": "The layers' functions.",
    "jaxnn.nn.init": "Initial values.",
    "jaxnn.nn.utils": "Helpers around parameters.",
    "jaxnn.optim": "Optimizers. Each is an optax transformation that can be taken out.",
    "jaxnn.optim.lr_scheduler": "Schedules of learning rates.",
    "jaxnn.optim.swa_utils": "Averages of weights.",
    "jaxnn.autograd": "Gradients.",
    "jaxnn.func": "Transformations of functions, on JAX's.",
    "jaxnn.amp": "Mixed precision.",
    "jaxnn.linalg": "Linear algebra.",
    "jaxnn.fft": "Fourier transforms.",
    "jaxnn.special": "Special functions.",
    "jaxnn.sparse": "Sparse matrices.",
    "jaxnn.distributions": "Probability distributions.",
    "jaxnn.utils.data": "Data sets, samplers and loaders.",
    "jaxnn.distributed": "Processes, meshes and collectives.",
    "jaxnn.vision.transforms": "Transforms of images, under torchvision's names.",
    "jaxnn.vision.models": "Models under torchvision's names.",
    "jaxnn.vision.ops": "Boxes and regions, under torchvision's names.",
    "jaxnn.compat": "Exchange with PyTorch.",
}  # fmt: skip


def _names(module):
    names = [n for n in dir(module) if not n.startswith("_")]
    if module.__name__ == "jaxnn":  # what other pages have under the same name is left to them
        others = [module.nn, module.autograd, module.amp]
        names = [n for n in names if all(getattr(module, n) is not getattr(other, n, None) for other in others)]
    else:
        names = getattr(module, "__all__", names)
    return sorted({n for n in names if hasattr(module, n)}, key=lambda n: (n.lower(), n))


def _entry(namespace, name, value):
    """The directive that documents a name; None for what has no text of its own."""
    if isinstance(value, types.ModuleType) or not (getattr(value, "__doc__", None) or "").strip():
        return None
    if inspect.isclass(value):
        return f".. autoclass:: {namespace}.{name}\n"
    if callable(value):
        return f".. autofunction:: {namespace}.{name}\n"
    return None


def write(folder: Path) -> None:
    """Write the pages, and an index of them, where they differ from what is there."""
    folder.mkdir(exist_ok=True)
    pages = {}
    for namespace, summary in PAGES.items():
        module = importlib.import_module(namespace)
        entries = [_entry(namespace, name, getattr(module, name)) for name in _names(module)]
        text = "\n".join(entry for entry in entries if entry)
        pages[f"{namespace}.md"] = f"# {namespace}\n\n{summary}\n\n```{{eval-rst}}\n.. currentmodule:: {namespace}\n\n{text}```\n"
    from jaxnn import Tensor

    methods = [n for n in dir(Tensor) if not n.startswith("_") and callable(getattr(Tensor, n)) and getattr(Tensor, n).__doc__]
    listed = "\n".join(f".. automethod:: jaxnn.Tensor.{name}\n" for name in methods)
    pages["jaxnn.Tensor.md"] = f"# jaxnn.Tensor\n\nThe methods of tensors.\n\n```{{eval-rst}}\n{listed}```\n"
    order = "\n".join(name.removesuffix(".md") for name in pages)
    pages["index.md"] = f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{order}\n```\n"
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


#: What stays as it is: literals, names in backquotes, links.
_KEPT = re.compile(r"(``.+?``|`[^`]+?`(?:__)?)")
_ADDRESS = re.compile(r"https?://[^\s)>,;]*[^\s)>,;.:]")


def _plain(text: str) -> str:
    """Text in which stars, bars and trailing underscores mean themselves."""
    parts = _KEPT.split(_ADDRESS.sub(lambda found: f"`{found[0].split('//')[1]} <{found[0]}>`__", text))
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"([*|])", r"\\\1", parts[k].replace("\\", "\\\\"))
        parts[k] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", parts[k])
    return "".join(parts)


def escape(app, what, name, obj, options, lines):
    """Docstrings are plain text with literals, not reStructuredText."""
    inside = False  # an example, up to the next line without indentation
    for k, line in enumerate(lines):
        if re.match(r"(Example|Examples):\s*$", line):
            inside = True
        elif inside and line and not line.startswith(" "):
            inside = False
        if not inside and not line.startswith("    >>>"):
            lines[k] = _plain(line)
        if re.match(r"(Source|Computes|Shape): ", line):
            lines[k] = re.sub(r"^(\w+): ", r"**\1:** ", lines[k])
