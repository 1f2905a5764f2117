"""Published checkpoints: where they are and what goes with them.

Args:
    url: the address.
    transforms: what prepares an image.
    meta: what is known of it.

Source: https://docs.pytorch.org/vision/stable/models.html#initializing-pre-trained-models
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any
from urllib.error import URLError

from jaxnn.hub import get_dir, load_state_dict_from_url
from jaxnn.vision.transforms.interpolation import InterpolationMode
from jaxnn.vision.transforms.presets import ImageClassification

__all__ = ["Weights", "WeightsEnum", "imagenet"]

_FOLDER = "https://download.pytorch.org/models/"


@dataclass(eq=False)
class Weights:
    """A checkpoint.

    Attributes:
        url: where it is.
        transforms: makes the preprocessing that the model was trained with.
        meta: ``num_params``, ``min_size`` (height, width) of a picture, and ``num_classes``.
    """

    url: str
    transforms: Callable[..., Any]
    meta: Mapping[str, Any] = field(default_factory=dict)


class WeightsEnum(Enum):
    """The checkpoints of one model; ``DEFAULT`` is the best of them."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """A member from a member, its name, or None.

        Raises:
            TypeError: for the weights of another model; KeyError: for a name that is none.
        """
        if isinstance(obj, str):
            return cls[obj.replace(cls.__name__ + ".", "")]
        if obj is not None and not isinstance(obj, cls):
            raise TypeError(
                f"Invalid Weight class provided; expected {cls.__name__} but received {type(obj).__name__}."
            )
        return obj

    def get_state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read the checkpoint, which `jaxnn.hub.load_state_dict_from_url` fetches once; it takes the arguments.

        Raises:
            URLError: where there is no network and no copy, with what to do.
        """
        try:
            return load_state_dict_from_url(self.url, *args, **kwargs)
        except URLError as error:
            folder = kwargs.get("model_dir") or (args[0] if args else None) or os.path.join(get_dir(), "checkpoints")
            raise URLError(
                f"the weights {self} could not be fetched from {self.url} ({error}). Put a copy of that file into {folder}, "
                "or make the model with weights=None and load a checkpoint of your own"
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def url(self) -> str:
        """Where the checkpoint is."""
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        """Makes the preprocessing: ``weights.transforms()(picture)``."""
        return self.value.transforms

    @property
    def meta(self) -> Mapping[str, Any]:
        """What is known of the checkpoint."""
        return self.value.meta


def imagenet(
    file: str, num_params: int, crop_size: int = 224, resize_size: int = 256, *, min_size: int = 1,
    bicubic: bool = False, classes: int | None = 1000, mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
) -> Weights:  # fmt: skip
    """The weights of a classifier of ImageNet-1K.

    Args:
        file: its name below PyTorch's folder of models.
        num_params: elements of all parameters.
        crop_size, resize_size, bicubic, mean, std: its preprocessing.
        min_size: the smallest height and width that the model takes.
        classes: how many it tells apart; None where its last layer is not trained.
    """
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    given: dict[str, Any] = {"crop_size": crop_size, "resize_size": resize_size, "interpolation": mode}
    if mean is not None:
        given |= {"mean": tuple(mean), "std": tuple(std or ())}
    meta = {"num_params": num_params, "min_size": (min_size, min_size), "num_classes": classes}
    return Weights(_FOLDER + file, partial(ImageClassification, **given), meta)
