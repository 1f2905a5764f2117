"""Models by name, and what all functions that make one have in common.

Args:
    name: of the function that makes it.
    config: its arguments.

Source: https://docs.pytorch.org/vision/stable/models.html#model-registration-mechanism
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from typing import Any, TypeVar

from jaxnn.nn.module import Module

from .weights import WeightsEnum

__all__ = ["builder", "fixed", "get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"]

M = TypeVar("M", bound=Module)

#: The functions that make a model, and the weights of each.
_BUILDERS: dict[str, Callable[..., Any]] = {}
_WEIGHTS: dict[str, type[WeightsEnum]] = {}


def _with_older_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], kinds: type[WeightsEnum]) -> None:
    """Bring what older programs give (by position, ``pretrained=``, True and False) to ``weights=`` and ``progress=``."""
    if len(args) > 2:
        raise TypeError(f"{name}() takes 'weights' and 'progress' by position at most, but {len(args)} were given")
    if args:
        names = ["weights", "progress"][: len(args)]
        _deprecated(
            f"Using {' and '.join(map(repr, names))} as positional parameter(s) is deprecated since 0.13 and may be removed "
            "in the future. Please use keyword parameter(s) instead."
        )
        kwargs.update(zip(names, args, strict=True))
    if "pretrained" in kwargs:
        _deprecated(
            "The parameter 'pretrained' is deprecated since 0.13 and may be removed in the future, please use 'weights' "
            "instead."
        )
        kwargs["weights"] = kwargs.pop("pretrained")
    given = kwargs.get("weights")
    if given is not None and not isinstance(given, (str, WeightsEnum)):
        kwargs["weights"] = next(iter(kinds)) if given else None
        _deprecated(
            "Arguments other than a weight enum or `None` for 'weights' are deprecated since 0.13 and may be removed in the "
            f"future. The current behavior is equivalent to passing `weights={kwargs['weights']}`."
        )


def _deprecated(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)


def fixed(kwargs: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Set keywords that are decided already. Raises ValueError where another value was given."""
    for name, value in values.items():
        if kwargs.setdefault(name, value) != value:
            raise ValueError(f"The parameter '{name}' expected value {value} but got {kwargs[name]} instead.")
    return kwargs


def builder(
    weights: type[WeightsEnum], *, decides: Callable[[Any, dict[str, Any]], Any] | None = None,
    rename: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Callable[[Callable[..., M]], Callable[..., M]]:  # fmt: skip
    """Give a function that makes a model the arguments ``weights`` and ``progress``, and its name in `get_model`.

    Args:
        weights: the checkpoints that there are.
        decides: sets the arguments that a checkpoint decides beside the number of classes.
        rename: the model's own keys from those of its files.
    """

    def with_weights(make: Callable[..., M]) -> Callable[..., M]:
        @functools.wraps(make)
        def build(*args: Any, **kwargs: Any) -> M:
            _with_older_arguments(make.__name__, args, kwargs, weights)
            chosen, progress = weights.verify(kwargs.pop("weights", None)), kwargs.pop("progress", True)
            if chosen is not None:
                if decides is not None:
                    decides(chosen, kwargs)
                if chosen.meta["num_classes"] is not None:
                    fixed(kwargs, num_classes=chosen.meta["num_classes"])
            model = make(**kwargs)
            if chosen is not None:
                found = chosen.get_state_dict(progress=progress, check_hash=True)
                model.load_state_dict(rename(found) if rename else found)
            return model

        keyword = inspect.Parameter.KEYWORD_ONLY
        own = list(inspect.signature(make).parameters.values())
        build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter("weights", keyword, default=None, annotation=f"{weights.__name__} | None"),
                inspect.Parameter("progress", keyword, default=True, annotation="bool"),
                *own,
            ],
            return_annotation=inspect.signature(make).return_annotation,
        )
        _BUILDERS[make.__name__] = build
        _WEIGHTS[make.__name__] = weights
        return build

    return with_weights


def list_models(
    module: Any = None, include: Iterable[str] | str | None = None, exclude: Iterable[str] | str | None = None
) -> list[str]:
    """The names of the models, sorted.

    Args:
        module: only those of this package, ``models``.
        include, exclude: patterns as of file names, or several of them: ``"resnet*"``.
    """

    def any_of(patterns: Iterable[str] | str, name: str) -> bool:
        return any(fnmatch(name, p) for p in ([patterns] if isinstance(patterns, str) else patterns))

    found = [
        name
        for name, build in _BUILDERS.items()
        if module is None or build.__module__.rpartition(".")[0] == module.__name__
    ]
    if include:
        found = [name for name in found if any_of(include, name)]
    if exclude:
        found = [name for name in found if not any_of(exclude, name)]
    return sorted(found)


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that makes the model of a name. Raises ValueError for a name that is none."""
    try:
        return _BUILDERS[name.lower()]
    except KeyError:
        raise ValueError(f"Unknown model {name.lower()}") from None


def get_model(name: str, **config: Any) -> Module:
    """A model by its name, with the arguments of the function that makes it."""
    return get_model_builder(name)(**config)


def get_model_weights(name: Callable[..., Any] | str) -> type[WeightsEnum]:
    """The checkpoints of a model, given by its name or the function that makes it."""
    build = get_model_builder(name) if isinstance(name, str) else name
    if build not in _BUILDERS.values():
        raise ValueError("The method is missing the 'weights' argument.")
    return _WEIGHTS[build.__name__]


def get_weight(name: str) -> WeightsEnum:
    """A checkpoint by its whole name, ``"ResNet50_Weights.IMAGENET1K_V2"``. Raises ValueError for a name that is none."""
    if "." not in name:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    kind, member = name.rsplit(".", 1)
    for weights in _WEIGHTS.values():
        if weights.__name__ == kind:
            return weights[member]
    raise ValueError(f"The weight enum '{kind}' for the specific method couldn't be retrieved.")
