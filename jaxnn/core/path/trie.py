"""The trie whose paths are what was recorded, and programs' keys.

An edge is (operator, static arguments, which earlier results and which inputs it takes, the description of an input at its first
use), so a path is a program's key, built while recording, and looking a program up costs nothing. Everything that only depends on
the path (shapes, which results need gradients, compiled programs) hangs on the trie's nodes and is worked out once.

A reference to a value is an integer: ``>= 0`` the result of that number in this recording, ``< 0`` the input ``~slot``.
Gradient sources have the same form: the result of that number, or ``~slot`` of the recording's list of sources.
"""

from __future__ import annotations

from typing import Any

from ..memory.aval import Aval
from ..operator.arguments import Tree, flat
from ..operator.infer import traced_operators
from ..operator.op import operator_name
from ..operator.open_sizes import families
from ..operator.traced import Instance
from ..process.config import configuration

__all__ = ["Node", "count_growth", "forget_recordings", "node_name", "on_forget", "place_name", "root_for"]

#: Nodes kept before the trie is started afresh (programs that never repeat would fill the memory).
TRIE_LIMIT = 60_000


class Node:
    """A place in the trie: the last operator of a path, and what is known about the path."""

    __slots__ = (
        "avals", "children", "container", "counts", "depth", "freed", "gradient", "groups", "inputs", "instance", "layouts",
        "keeps", "location", "may_cut", "misses", "needs_gradient", "numbers", "op", "parent", "plan", "price", "programs", "recipe",
        "start", "stop", "tensors", "tracked", "visits",
    )  # fmt: skip

    def __init__(self, parent: Node | None, op: Any, recipe: Tree, avals: tuple[Aval, ...] = ()) -> None:
        self.parent = parent
        self.op = op
        self.recipe = recipe
        self.avals = avals
        self.instance: Any = None  # the operator traced; None for a recorded backward
        self.tensors, self.numbers = flat(recipe)
        #: Positions of the tensor arguments that gradients flow to; those of one value with one gradient source are a group.
        self.groups: tuple[tuple[int, ...], ...] = ()
        self.container: Any = None
        self.inputs: tuple[Aval, ...] = ()
        self.start: int = 0 if parent is None else parent.stop
        self.stop: int = self.start + len(avals)
        self.depth: int = 0 if parent is None else parent.depth + 1
        #: How many inputs, gradient sources and numbers of each type the path has brought.
        self.counts: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0) if parent is None else parent.counts
        self.children: dict[Any, Node] = {}
        self.programs: dict[Any, Any] = {}
        self.layouts: dict[Any, Any] = {}
        self.price: float | None = None  # of compiling the path
        self.visits: dict[Any, Any] = {}
        self.misses: list[Any] = []
        self.tracked: tuple[bool, ...] = (False,) * len(avals)
        self.needs_gradient = False  # needs gradients through a graph that no backward has released
        self.freed: frozenset[int] = frozenset() if parent is None else parent.freed
        self.plan: Any = None
        self.keeps: bool | None = None  # whether its backward needs values of its forward, once asked: see `released`
        self.gradient: bool = parent is not None and parent.gradient  # something on the path requires gradients
        self.may_cut = False
        self.location = ""

    def path(self) -> list[Node]:
        """The nodes from the first operator to this one."""
        nodes = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        return nodes

    def set_instance(self, instance: Instance) -> None:
        """Set the traced operator, whose results are the node's."""
        self.instance = instance
        self.avals = instance.avals
        self.container = instance.container
        self.stop = self.start + len(instance.avals)
        self.tracked = (False,) * len(instance.avals)

    def adopt_gradients(self, recipe: Tree) -> None:
        """Set the recipe, with the gradient sources that count."""
        self.recipe = recipe
        self.tensors, _ = flat(recipe)
        places: dict[Any, list[int]] = {}
        for k, e in enumerate(self.tensors):
            if e.grad is not None:
                places.setdefault((e.value, e.grad), []).append(k)
        self.groups = tuple(map(tuple, places.values()))

    def targets(self) -> list[tuple[int, Aval]]:
        """Gradient source and description of each group."""
        return [(self.tensors[g[0]].grad, self.inputs[g[0]]) for g in self.groups]


_roots: dict[Any, Node] = {}
_grown = [0]


def root_for(placement: Any, mesh: Any = None) -> Node:
    """The start of the trie for a placement under today's configuration, and inside ``jax.set_mesh(mesh)``."""
    key = (placement, mesh, configuration())
    root = _roots.get(key)
    if root is None:
        root = _roots[key] = Node(None, None, (), ())
    return root


_forgotten_too: list[dict[Any, Any]] = []


def on_forget(kept: dict[Any, Any]) -> dict[Any, Any]:
    """A dictionary that is emptied when the traced operators are dropped."""
    _forgotten_too.append(kept)
    return kept


def forget_recordings() -> None:
    """Drop the trie and the traced operators; recordings under way keep their own path."""
    for kept in _forgotten_too:
        kept.clear()
    _roots.clear()
    traced_operators.clear()
    families.clear()
    _grown[0] = 0


def count_growth() -> None:
    """Note a new node; a trie above the limit is dropped (recordings under way keep their own path)."""
    _grown[0] += 1
    if _grown[0] > TRIE_LIMIT:
        _grown[0] = 0
        _roots.clear()


def node_name(node: Node) -> str:
    """What ``grad_fn`` prints for a recorded operator."""
    return operator_name(node.op, list(node.inputs), [e.value for e in node.recipe if e.kind == "static"])


def place_name(node: Node, place: int) -> str:
    """What ``grad_fn`` prints for a result of the recording that ends at ``node``."""
    maker: Any = node
    while maker.start > place or not maker.avals:
        maker = maker.parent
    return node_name(maker)
