"""Image transforms: torchvision's names, numbers, random draws and printed forms.

They take Pillow images and tensors (..., C, H, W), each as torchvision treats it. Random ones draw from the default
generator, so the same `manual_seed` gives the same augmentations as in torchvision.

Source: https://docs.pytorch.org/vision/stable/transforms.html
"""

from . import functional, v2
from .colours import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from .compositions import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from .crops import CenterCrop, FiveCrop, Pad, RandomCrop, RandomResizedCrop, Resize, TenCrop
from .interpolation import InterpolationMode
from .tensors import ConvertImageDtype, Normalize, PILToTensor, RandomErasing, ToPILImage, ToTensor
from .warps import RandomAffine, RandomHorizontalFlip, RandomPerspective, RandomRotation, RandomVerticalFlip

__all__ = [
    "CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "FiveCrop", "GaussianBlur", "Grayscale",
    "InterpolationMode", "Lambda", "Normalize", "PILToTensor", "Pad", "RandomAdjustSharpness", "RandomAffine",
    "RandomApply", "RandomAutocontrast", "RandomChoice", "RandomCrop", "RandomEqualize", "RandomErasing",
    "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomOrder", "RandomPerspective", "RandomPosterize",
    "RandomResizedCrop", "RandomRotation", "RandomSolarize", "RandomVerticalFlip", "Resize", "TenCrop", "ToPILImage",
    "ToTensor", "functional", "v2",
]  # fmt: skip
