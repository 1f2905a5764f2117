"""Files of weights, without PyTorch: safetensors, Hugging Face's folders, numpy's archives and PyTorch's files."""

from .pretrained import from_pretrained
from .weights import Weights, open_weights
from .writing import save_pretrained, save_weights

__all__ = ["Weights", "from_pretrained", "open_weights", "save_pretrained", "save_weights"]
