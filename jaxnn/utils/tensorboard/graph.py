"""The graph of a model: its modules as they are called, from hooks.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/graph.proto
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from tensorboardX.proto.attr_value_pb2 import AttrValue
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.types_pb2 import DataType
from tensorboardX.proto.versions_pb2 import VersionDef

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.nn.module import Module

__all__ = ["model_graph"]

_TYPES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "int32": "DT_INT32", "uint8": "DT_UINT8", "int16": "DT_INT16",
    "int8": "DT_INT8", "int64": "DT_INT64", "bool": "DT_BOOL", "bfloat16": "DT_BFLOAT16", "float16": "DT_HALF",
    "complex64": "DT_COMPLEX64", "complex128": "DT_COMPLEX128",
}  # fmt: skip


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, TensorBase):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in _tensors(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in _tensors(v)]
    return []


def _node(name: str, op: str, inputs: list[str], tensors: list[Any], about: str = "") -> Any:
    attr = {}
    if tensors:
        shapes = [TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in tuple(aval(t).shape)]) for t in tensors]
        attr["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=shapes))
        attr["dtype"] = AttrValue(type=DataType.Value(_TYPES.get(np.dtype(aval(tensors[0]).np).name, "DT_INVALID")))
    if about:
        attr["attr"] = AttrValue(s=about.encode())
    return NodeDef(name=name, op=op, input=list(dict.fromkeys(inputs)), attr=attr)


class _Recorder:
    """Collects nodes while a model runs.

    A node is a call of a module that calls no other; modules that do are its scopes. An edge leads from the module that
    gave a tensor to the one that takes it. Where functions lie between (their results come from no module), it leads
    from the module called last.
    """

    def __init__(self, model: Module) -> None:
        self.nodes: list[Any] = []
        self._paths = {id(model): type(model).__name__}
        for name, module in model.named_modules():
            if name:
                parent = self._paths[id(model.get_submodule(name.rpartition(".")[0]))]
                self._paths[id(module)] = f"{parent}/{type(module).__name__}[{name.rpartition('.')[2]}]"
        self._sources: dict[int, tuple[Any, str]] = {}  # with the tensor, so that its id is not used again
        self._calls: Counter[str] = Counter()
        self._counts: list[int] = []  # how many nodes there were when each running module began
        self._parameters: set[str] = set()
        self._last = ""

    def name(self, tensors: list[Any], node: str) -> None:
        """Say which node gave tensors."""
        for t in tensors:
            self._sources[id(t)] = (t, node)
        self._last = node

    def sources(self, tensors: list[Any]) -> list[str]:
        """The nodes that tensors come from."""
        return [self._sources[id(t)][1] if id(t) in self._sources else self._last for t in tensors]

    def before(self, module: Any, args: Any, kwargs: Any) -> None:
        self._counts.append(len(self.nodes))

    def after(self, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        count = self._counts.pop()
        outputs = _tensors(result)
        own = [(n, p) for n, p in module.named_parameters(recurse=False)]
        if len(self.nodes) > count and not own:
            for t in outputs:  # what a container's own forward computes comes after its last module
                self._sources.setdefault(id(t), (t, self._last))
            return
        path = self._paths[id(module)]
        self._calls[path] += 1
        number = self._calls[path]
        node = f"{path}/{type(module).__name__}" + (f"_{number}" if number > 1 else "")
        parameters = []
        for name, p in own:
            parameters.append(f"{path}/{name}")
            if parameters[-1] not in self._parameters:
                self._parameters.add(parameters[-1])
                self.nodes.append(_node(parameters[-1], "Parameter", [], [p]))
        inputs = self.sources(_tensors([args, kwargs])) or [self._last]
        self.nodes.append(_node(node, type(module).__name__, [*inputs, *parameters], outputs, module.extra_repr()))
        self.name(outputs, node)


def model_graph(model: Module, inputs: Any) -> Any:
    """Run a model on inputs (a tensor or a tuple of arguments), and what was called as a GraphDef.

    Raises:
        TypeError: for what is no module.
    """
    if not isinstance(model, Module):
        raise TypeError(f"add_graph: expected a Module, got {type(model).__name__}")
    arguments = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    recorder = _Recorder(model)
    for k, argument in enumerate(arguments):
        for t in _tensors(argument):
            name = f"input/input_{k}"
            recorder.nodes.append(_node(name, "IO Node", [], [t]))
            recorder.name([t], name)
    handles = []
    try:
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(recorder.before, with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.after, with_kwargs=True))
        with no_grad():
            result = model(*arguments)
    finally:
        for handle in handles:
            handle.remove()
    for k, t in enumerate(_tensors(result)):
        recorder.nodes.append(_node(f"output/output_{k}", "IO Node", recorder.sources([t]), [t]))
    return GraphDef(node=recorder.nodes, versions=VersionDef(producer=22))
