"""``torch.utils._pytree``: nested containers as leaves and a structure. What is no registered container is a leaf, None too.

Dictionaries keep their order; classes are registered by exact type.
"""

from __future__ import annotations

import functools
import json
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = [
    "Context", "DumpableContext", "FlattenFunc", "GetAttrKey", "KeyPath", "LeafSpec", "MappingKey", "NodeDef", "PyTree", "SUPPORTED_NODES",
    "SequenceKey", "TreeSpec", "UnflattenFunc", "_broadcast_to_and_flatten", "_dict_flatten", "_dict_flatten_with_keys", "_dict_unflatten",
    "_list_flatten_with_keys", "_tuple_flatten_with_keys", "is_structseq_instance", "tree_is_leaf",
    "_get_node_type", "_is_leaf", "_list_flatten", "_list_unflatten", "_namedtuple_flatten", "_namedtuple_unflatten",
    "_register_pytree_node", "_tuple_flatten", "_tuple_unflatten", "is_namedtuple", "is_namedtuple_class", "keystr",
    "register_pytree_node", "tree_all", "tree_all_only", "tree_any", "tree_any_only", "tree_flatten", "tree_flatten_with_path",
    "tree_iter", "tree_leaves", "tree_leaves_with_path", "tree_map", "tree_map_", "tree_map_only", "tree_map_only_",
    "tree_map_with_path", "tree_structure", "tree_unflatten", "treespec_dumps", "treespec_loads", "treespec_pprint",
]  # fmt: skip

Context = Any
PyTree = Any
DumpableContext = Any
FlattenFunc = Callable[[PyTree], tuple[list[Any], Context]]
UnflattenFunc = Callable[[Iterable[Any], Context], PyTree]


class SequenceKey(NamedTuple):
    """A place in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class MappingKey(NamedTuple):
    """A key of a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """An attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


KeyPath = tuple[Any, ...]


class NodeDef(NamedTuple):
    """How a container is taken apart and put together."""

    type: type[Any]
    flatten_fn: FlattenFunc
    unflatten_fn: UnflattenFunc
    flatten_with_keys_fn: Callable[[PyTree], tuple[list[tuple[Any, Any]], Context]] | None = None


SUPPORTED_NODES: dict[type[Any], NodeDef] = {}
_names: dict[type[Any], str] = {}


def register_pytree_node(
    cls: type[Any], flatten_fn: FlattenFunc, unflatten_fn: UnflattenFunc, *, serialized_type_name: str | None = None,
    to_dumpable_context: Any = None, from_dumpable_context: Any = None, flatten_with_keys_fn: Any = None,
) -> None:  # fmt: skip
    """Make a class a container.

    Args:
        cls: the class; subclasses are not meant.
        flatten_fn: gives the children and a context.
        unflatten_fn: makes a container of children and context.
        serialized_type_name: the name in `treespec_dumps`.
        to_dumpable_context, from_dumpable_context: hints, contexts are dumped as they are.
        flatten_with_keys_fn: gives (key, child) pairs and the context.

    Raises:
        ValueError: the class is registered.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _register_pytree_node(
        cls, flatten_fn, unflatten_fn, serialized_type_name=serialized_type_name, flatten_with_keys_fn=flatten_with_keys_fn
    )


def _register_pytree_node(
    cls: type[Any], flatten_fn: FlattenFunc, unflatten_fn: UnflattenFunc, to_str_fn: Any = None, maybe_from_str_fn: Any = None,
    *, serialized_type_name: str | None = None, to_dumpable_context: Any = None, from_dumpable_context: Any = None,
    flatten_with_keys_fn: Any = None,
) -> None:  # fmt: skip
    """`register_pytree_node` that may be repeated."""
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)
    _names[cls] = serialized_type_name or f"{cls.__module__}.{cls.__qualname__}"


def _tuple_flatten(d: tuple[Any, ...]) -> tuple[list[Any], Context]:
    return list(d), None


def _tuple_unflatten(values: Iterable[Any], context: Context) -> tuple[Any, ...]:
    return tuple(values)


def _list_flatten(d: list[Any]) -> tuple[list[Any], Context]:
    return d, None


def _list_unflatten(values: Iterable[Any], context: Context) -> list[Any]:
    return list(values)


def _dict_flatten(d: dict[Any, Any]) -> tuple[list[Any], Context]:
    return list(d.values()), list(d.keys())


def _dict_unflatten(values: Iterable[Any], context: Context) -> dict[Any, Any]:
    return dict(zip(context, values, strict=True))


def _dict_flatten_with_keys(d: dict[Any, Any]) -> tuple[list[tuple[Any, Any]], Context]:
    return [(MappingKey(k), v) for k, v in d.items()], list(d.keys())


def _namedtuple_flatten(d: Any) -> tuple[list[Any], Context]:
    return list(d), type(d)


def _namedtuple_unflatten(values: Iterable[Any], context: Context) -> Any:
    return context(*values)


def _sequence_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Context]:
    values, context = SUPPORTED_NODES[_get_node_type(d)].flatten_fn(d)
    return [(SequenceKey(i), v) for i, v in enumerate(values)], context


def _fields_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Context]:
    return [(GetAttrKey(n), v) for n, v in zip(d._fields, d, strict=True)], type(d)


_register_pytree_node(tuple, _tuple_flatten, _tuple_unflatten, flatten_with_keys_fn=_sequence_with_keys)
_register_pytree_node(list, _list_flatten, _list_unflatten, flatten_with_keys_fn=_sequence_with_keys)
_register_pytree_node(dict, _dict_flatten, _dict_unflatten, flatten_with_keys_fn=_dict_flatten_with_keys)
_register_pytree_node(
    namedtuple, _namedtuple_flatten, _namedtuple_unflatten,  # type: ignore[arg-type]
    serialized_type_name="collections.namedtuple", flatten_with_keys_fn=_fields_with_keys,
)  # fmt: skip
_register_pytree_node(
    OrderedDict, _dict_flatten, lambda values, keys: OrderedDict(zip(keys, values, strict=True)),
    flatten_with_keys_fn=_dict_flatten_with_keys,
)  # fmt: skip
_register_pytree_node(
    defaultdict, lambda d: (list(d.values()), [d.default_factory, list(d.keys())]),
    lambda values, context: defaultdict(context[0], zip(context[1], values, strict=True)),
    flatten_with_keys_fn=lambda d: ([(MappingKey(k), v) for k, v in d.items()], [d.default_factory, list(d.keys())]),
)  # fmt: skip
_register_pytree_node(
    deque, lambda d: (list(d), d.maxlen), lambda values, context: deque(values, maxlen=context),
    flatten_with_keys_fn=_sequence_with_keys,
)  # fmt: skip


_list_flatten_with_keys = _tuple_flatten_with_keys = _sequence_with_keys


def is_namedtuple_class(cls: Any) -> bool:
    """Whether a class was made by ``namedtuple``."""
    if not isinstance(cls, type) or not issubclass(cls, tuple):
        return False
    fields = getattr(cls, "_fields", None)
    return isinstance(fields, tuple) and all(type(f) is str for f in fields)


def is_namedtuple(obj: Any) -> bool:
    """Whether a value, or a class, is a named tuple."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def _get_node_type(tree: Any) -> Any:
    kind = type(tree)
    if kind not in SUPPORTED_NODES and is_namedtuple_class(kind):
        return namedtuple
    return kind


def tree_is_leaf(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    """Whether a tree is one leaf."""
    return _is_leaf(tree, is_leaf)


def is_structseq_instance(obj: Any) -> bool:
    """Whether a value is a named tuple of Python's C code; such a one is a node here."""
    return isinstance(obj, tuple) and hasattr(obj, "n_sequence_fields")


def _is_leaf(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> bool:
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


class TreeSpec:
    """The structure of a tree.

    Attributes:
        type: the container's class; `namedtuple` for all of these; None for a leaf.
        context: what is needed to make it, beside the children.
        num_leaves, num_children: how many there are.
    """

    def __init__(self, type: Any, context: Context, children_specs: list[TreeSpec]) -> None:
        self.type, self.context, self.children_specs = type, context, children_specs
        self.num_nodes: int = 1 + sum(c.num_nodes for c in children_specs)
        self.num_leaves: int = sum(c.num_leaves for c in children_specs)
        self.num_children = len(children_specs)

    def is_leaf(self) -> bool:
        """Whether it is a leaf's."""
        return self.type is None

    def children(self) -> list[TreeSpec]:
        """The children's structures."""
        return list(self.children_specs)

    def child(self, index: int) -> TreeSpec:
        """The structure of one child."""
        return self.children_specs[index]

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """A tree of this structure.

        Raises:
            ValueError: for another number of leaves.
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
                f"{self.num_leaves} items ({self})."
            )
        return self._made(iter(leaves))

    def _made(self, leaves: Any) -> PyTree:
        if self.type is None:
            return next(leaves)
        return SUPPORTED_NODES[self.type].unflatten_fn([c._made(leaves) for c in self.children_specs], self.context)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The parts of a tree that stand where this structure has leaves.

        Raises:
            ValueError: the tree does not begin with this structure.
        """
        if self.type is None:
            return [tree]
        kind = _get_node_type(tree)
        if kind is not self.type:
            raise ValueError(f"Type mismatch; expected {self.type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if kind in (dict, OrderedDict) and set(context) == set(self.context):
            children = [tree[k] for k in self.context]
        elif len(children) != self.num_children or (context != self.context and kind is not deque):
            raise ValueError(f"Node context mismatch; expected {self.context!r}, but got {context!r}.")
        return [part for c, t in zip(self.children_specs, children, strict=True) for part in c.flatten_up_to(t)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (self.type, self.context, self.children_specs) == (
            other.type, other.context, other.children_specs,
        )  # fmt: skip

    def __hash__(self) -> int:
        context = tuple(self.context) if isinstance(self.context, list) and self.type in (dict, OrderedDict) else None
        return hash((self.type, context, tuple(self.children_specs)))

    def __repr__(self) -> str:
        if self.type is None:
            return "*"
        children = ", ".join(repr(c) for c in self.children_specs)
        return f"TreeSpec({self.type.__name__}, {self.context!r}, [{children}])"


class LeafSpec(TreeSpec):
    """The structure of a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.num_leaves = 1


_LEAF = LeafSpec()


def _flatten(tree: PyTree, leaves: list[Any], is_leaf: Any) -> TreeSpec:
    if _is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF
    kind = _get_node_type(tree)
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_flatten(c, leaves, is_leaf) for c in children])


def tree_flatten(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the structure. ``is_leaf`` names more values that are not taken apart."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """A tree of leaves.

    Raises:
        TypeError: the structure is none, or comes first.
        ValueError: for another number of leaves.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of TreeSpec but got item of type {type(treespec)}."
        )
    return treespec.unflatten(leaves)


def tree_leaves(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> Iterable[Any]:
    """An iterator over the leaves."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: Callable[[PyTree], bool] | None = None) -> TreeSpec:
    """The structure."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Any = None) -> PyTree:
    """A tree of ``func(leaf, *leaves of the others)``."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(r) for r in rests]
    return spec.unflatten([func(*row) for row in zip(leaves, *others, strict=True)])


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Any = None) -> PyTree:
    """Call ``func`` on the leaves; returns the tree."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _chosen(kind: Any) -> Callable[[Any], bool]:
    if isinstance(kind, (type, tuple)) or hasattr(kind, "__args__"):
        return lambda value: isinstance(value, kind)
    if callable(kind):
        return kind
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def tree_map_only(kind: Any, func: Any = None, tree: PyTree = None, is_leaf: Any = None) -> PyTree:
    """`tree_map` of the leaves of a type, or for which ``kind`` is true; the others stay."""
    chosen = _chosen(kind)
    return tree_map(lambda v: func(v) if chosen(v) else v, tree, is_leaf=is_leaf)


def tree_map_only_(kind: Any, func: Any = None, tree: PyTree = None, is_leaf: Any = None) -> PyTree:
    """`tree_map_` of the leaves of a type."""
    tree_map_only(kind, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Any = None) -> bool:
    """Whether it is true of all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Any = None) -> bool:
    """Whether it is true of a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(kind: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: Any = None) -> bool:
    """Whether it is true of all leaves of a type."""
    chosen = _chosen(kind)
    return all(pred(v) for v in tree_leaves(tree, is_leaf) if chosen(v))


def tree_any_only(kind: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: Any = None) -> bool:
    """Whether it is true of a leaf of a type."""
    chosen = _chosen(kind)
    return any(pred(v) for v in tree_leaves(tree, is_leaf) if chosen(v))


def _broadcast_to_and_flatten(tree: PyTree, treespec: TreeSpec, is_leaf: Any = None) -> list[Any] | None:
    """The leaves of a tree repeated to a structure that it is a beginning of; None where it is none."""
    if _is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    kind = _get_node_type(tree)
    if treespec.is_leaf() or kind is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    found: list[Any] = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found


def _with_paths(path: KeyPath, tree: PyTree, is_leaf: Any) -> Iterable[tuple[KeyPath, Any]]:
    if _is_leaf(tree, is_leaf):
        yield path, tree
        return
    node = SUPPORTED_NODES[_get_node_type(tree)]
    if node.flatten_with_keys_fn is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass a flatten_with_keys_fn argument to "
            "register_pytree_node."
        )
    for key, child in node.flatten_with_keys_fn(tree)[0]:
        yield from _with_paths((*path, key), child, is_leaf)


def tree_flatten_with_path(tree: PyTree, is_leaf: Any = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """(path, leaf) pairs in order, and the structure."""
    return list(_with_paths((), tree, is_leaf)), tree_structure(tree, is_leaf)


def tree_leaves_with_path(tree: PyTree, is_leaf: Any = None) -> list[tuple[KeyPath, Any]]:
    """(path, leaf) pairs in order."""
    return list(_with_paths((), tree, is_leaf))


def tree_map_with_path(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Any = None) -> PyTree:
    """A tree of ``func(path, leaf, *leaves of the others)``."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(r) for r in rests]
    return spec.unflatten([func(p, leaf, *row) for (p, leaf), *row in zip(pairs, *others, strict=True)])


def keystr(kp: KeyPath) -> str:
    """A path as text."""
    return "".join(str(k) for k in kp)


def _as_json(spec: TreeSpec) -> Any:
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    context = spec.context.__name__ if spec.type is namedtuple else spec.context
    return {"type": _names[spec.type], "context": json.dumps(context), "children_spec": [_as_json(c) for c in spec.children_specs]}


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """A structure as JSON.

    Raises:
        TypeError: for what is none, or has a context that JSON can't hold.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            "treespec_dumps(treespec, protocol): Expected `treespec` to be instance of TreeSpec but got item of type "
            f"{type(treespec)}."
        )
    return json.dumps([1 if protocol is None else protocol, _as_json(treespec)])


@functools.lru_cache(maxsize=256)
def treespec_loads(serialized: str) -> TreeSpec:
    """The structure that `treespec_dumps` wrote.

    Raises:
        NotImplementedError: for classes that are not registered under this name; a named tuple's class is not in the text.
    """
    kinds = {name: kind for kind, name in _names.items()}

    def build(node: Any) -> TreeSpec:
        if node["type"] is None:
            return _LEAF
        kind = kinds.get(node["type"])
        if kind is None or kind is namedtuple:
            raise NotImplementedError(f"treespec_loads: the class of {node['type']!r} is not known")
        return TreeSpec(kind, json.loads(node["context"]), [build(c) for c in node["children_spec"]])

    return build(json.loads(serialized)[1])


def treespec_pprint(treespec: TreeSpec) -> str:
    """A structure as the tree that it stands for."""
    return repr(treespec.unflatten(["*"] * treespec.num_leaves)).replace("'*'", "*")
