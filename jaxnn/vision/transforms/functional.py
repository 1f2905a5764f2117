"""The transforms as functions: the same arguments, nothing random.

Each takes a Pillow image or a tensor (..., C, H, W) and gives the same kind; anything else raises TypeError.

Args:
    brightness_factor, contrast_factor, saturation_factor, sharpness_factor: 0 takes it all away, 1 leaves it, above
        is more.
    hue_factor: within -0.5 and 0.5.
    gain: a factor.
    gamma: the exponent.
    angle: in degrees.
    fill: the value outside the image.
    top, left, height, width: of the window.
    i, j, h, w: top, left, height and width of the window.
    v: what to write.
    size: (height, width), or one number.
    padding: one width, (across, down), or (left, top, right, bottom).
    padding_mode: 'constant', 'edge', 'reflect' or 'symmetric'.
    startpoints, endpoints: four corners (x, y) each.
    bits: how many to keep.
    num_output_channels: 1 or 3.
    vertical_flip: mirror up and down instead of left and right.
    threshold: from which value on to invert.
    mean, std: of each channel.
    scale: the factor.

Source: https://docs.pytorch.org/vision/stable/transforms.html#functional-transforms
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes

from . import array_colours as colours
from . import array_geometry as geometry
from . import pillow_images as pillow
from .arguments import borders, fill_for_tensor, is_sequence, point
from .conversions import convert_image_dtype, pil_to_tensor, to_pil_image, to_tensor
from .images import (
    from_host,
    get_dimensions,
    get_image_num_channels,
    get_image_size,
    host_values,
    is_pil,
    is_tensor,
    no_image,
    run,
)  # fmt: skip
from .interpolation import InterpolationMode, mode_of

__all__ = [
    "InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue", "adjust_saturation",
    "adjust_sharpness", "affine", "autocontrast", "center_crop", "convert_image_dtype", "crop", "equalize", "erase",
    "five_crop", "gaussian_blur", "get_dimensions", "get_image_num_channels", "get_image_size", "hflip", "invert",
    "normalize", "pad", "perspective", "pil_to_tensor", "posterize", "resize", "resized_crop", "rgb_to_grayscale",
    "rotate", "solarize", "ten_crop", "to_grayscale", "to_pil_image", "to_tensor", "vflip",
]  # fmt: skip

_MODES = ("constant", "edge", "reflect", "symmetric")


def _need_image(img: Any) -> None:
    if not is_pil(img) and not is_tensor(img):
        raise no_image(img)


def _need_colours(img: Any, *permitted: int) -> None:
    """A tensor with channels, as many as one of these."""
    if img.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {img.ndim}")
    channels = get_image_num_channels(img)
    if permitted and channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")


# ---- tensors only


def _channel_values(values: Any) -> tuple[float, ...]:
    """A number, a sequence, an array or a tensor as floats."""
    values = values.tolist() if hasattr(values, "tolist") else values
    return tuple(float(v) for v in values) if is_sequence(values) else (float(values),)


def normalize(tensor: Any, mean: Any, std: Any, inplace: bool = False) -> Any:
    """Each channel of a tensor less its mean, over its deviation.

    Raises:
        TypeError: for anything but a tensor of floats.
        ValueError: for fewer than three dimensions, or a deviation that is zero in the tensor's type.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.normalize.html
    """
    if not is_tensor(tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    kind = tensor.dtype
    if not kind.is_floating_point:
        raise TypeError(f"Input tensor should be a float tensor. Got {kind}.")
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.shape}"
        )
    means, deviations = _channel_values(mean), _channel_values(std)
    if any(kind.np.type(v) == 0 for v in deviations):
        raise ValueError(f"std evaluated to zero after conversion to {kind}, leading to division by zero.")
    for values in (means, deviations):
        if len(values) not in (1, tensor.shape[-3]):
            raise RuntimeError(
                f"The size of tensor a ({tensor.shape[-3]}) must match the size of tensor b ({len(values)}) "
                "at non-singleton dimension 0"
            )
    result = run(colours.normalize, tensor, means, deviations)
    return tensor.copy_(result) if inplace else result


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """A window of a tensor overwritten with v, which broadcasts to (C, h, w).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.erase.html
    """
    if not is_tensor(img):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    values, filling = host_values(img), host_values(v) if is_tensor(v) else np.asarray(v)
    if values is not None and filling is not None and not inplace:
        return from_host(geometry.erase(values, i, j, h, w, filling))
    result = img if inplace else img.clone()
    result[..., i : i + h, j : j + w] = v
    return result


# ---- size and place


def _resized_size(height: int, width: int, size: Any, max_size: int | None) -> tuple[int, int]:
    """The (height, width) that an argument `size` asks for."""
    if len(size) == 2:
        return size[0], size[1]
    short, long = (width, height) if width <= height else (height, width)
    wanted = size[0]
    new_short, new_long = wanted, int(wanted * long / short)
    if max_size is not None:
        if max_size <= wanted:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge "
                f"size = {size}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: Any, size: Any, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:  # fmt: skip
    """The image at another size: (height, width), or one number for the shorter edge, the longer at most `max_size`.

    Pillow images are always antialiased; tensors are by default, for bilinear and bicubic interpolation.

    Raises:
        ValueError: for a `max_size` no larger than the shorter edge, or with both edges given, or for an interpolation
            that tensors lack.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.resize.html
    """
    interpolation = mode_of(interpolation)
    size = [size] if isinstance(size, int) else list(size)
    if len(size) not in (1, 2):
        raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list")
    if max_size is not None and len(size) != 1:
        raise ValueError(
            "max_size should only be passed if size specifies the length of the smaller edge, "
            "i.e. size should be an int or a sequence of length 1 in torchscript mode."
        )
    _, old_height, old_width = get_dimensions(img)
    height, width = _resized_size(old_height, old_width, size, max_size)
    if (old_height, old_width) == (height, width):
        return img
    if is_pil(img):
        if antialias is False:
            warnings.warn(
                "Anti-alias option is always applied for PIL Image input. Argument antialias is ignored.", stacklevel=2
            )
        return pillow.resize(img, height, width, interpolation)
    if interpolation.value not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError("This interpolation mode is unsupported with Tensor input")
    smooth = bool(antialias) and interpolation.value in ("bilinear", "bicubic")
    return run(geometry.resize, img, height, width, interpolation.value, smooth)


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Borders on each side: one width, (across, down), or (left, top, right, bottom).

    Modes are constant (`fill`), edge, reflect and symmetric (mirrored without and with the outermost pixels).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.pad.html
    """
    _need_image(img)
    widths = borders(padding)
    if not isinstance(fill, (numbers.Number, str, tuple, list)) and not (fill is None and is_tensor(img)):
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    if padding_mode not in _MODES:
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if is_pil(img):
        return pillow.pad(img, widths, fill, padding_mode)
    if isinstance(fill, (tuple, list)):
        if len(fill) != 1:
            raise TypeError(f"pad: a tensor's fill should be one number, got {fill!r}")
        fill = fill[0]
    return run(geometry.pad, img, *widths, padding_mode, float(fill or 0))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A window of the image; where it reaches outside there are zeros.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.crop.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.crop(img, top, left, height, width)
    return run(geometry.crop, img, top, left, height, width)


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the image; a smaller image is padded with zeros.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.center_crop.html
    """
    if isinstance(output_size, numbers.Number):
        output_size = (int(output_size), int(output_size))  # type: ignore[call-overload]
    elif len(output_size) == 1:
        output_size = (output_size[0], output_size[0])
    _, height, width = get_dimensions(img)
    wanted_h, wanted_w = output_size
    if wanted_w > width or wanted_h > height:
        more_w, more_h = max(wanted_w - width, 0), max(wanted_h - height, 0)
        img = pad(img, [more_w // 2, more_h // 2, (more_w + 1) // 2, (more_h + 1) // 2], fill=0)
        _, height, width = get_dimensions(img)
        if (wanted_w, wanted_h) == (width, height):
            return img
    return crop(img, round((height - wanted_h) / 2.0), round((width - wanted_w) / 2.0), wanted_h, wanted_w)


def resized_crop(
    img: Any, top: int, left: int, height: int, width: int, size: Any,
    interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True,
) -> Any:  # fmt: skip
    """A window of the image at another size.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.resized_crop.html
    """
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def _flip(img: Any, axis: int) -> Any:
    _need_image(img)
    return pillow.flip(img, axis) if is_pil(img) else run(geometry.flip, img, axis)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return _flip(img, -1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return _flip(img, -2)


def five_crop(img: Any, size: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The corners (top left, top right, bottom left, bottom right) and the center.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.five_crop.html
    """
    if isinstance(size, numbers.Number):
        size = (int(size), int(size))  # type: ignore[call-overload]
    elif len(size) == 1:
        size = (size[0], size[0])
    if len(size) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    _, height, width = get_dimensions(img)
    h, w = size
    if w > width or h > height:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(height, width)}")
    corners = (crop(img, top, left, h, w) for top in (0, height - h) for left in (0, width - w))
    top_left, top_right, bottom_left, bottom_right = corners
    return top_left, top_right, bottom_left, bottom_right, center_crop(img, [h, w])


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of the image and of its mirror image.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.ten_crop.html
    """
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def _warped(img: Any, coefficients: list[float], out: tuple[int, int], interpolation: Any, fill: Any) -> Any:
    if interpolation.value not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{interpolation.value}' is unsupported with Tensor input")
    fill = fill_for_tensor(fill, get_image_num_channels(img))
    return run(geometry.warp, img, tuple(coefficients), *out, interpolation.value, fill)


def rotate(
    img: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False, center: Any = None,
    fill: Any = None,
) -> Any:  # fmt: skip
    """The image turned counter-clockwise, in degrees, about `center` (x, y) or the middle.

    `expand` makes the result large enough for the whole image (turned about the middle).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.rotate.html
    """
    interpolation = mode_of(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None:
        point(center, "Argument center")
    _need_image(img)
    if is_pil(img):
        return pillow.rotate(img, angle, interpolation, expand, center, fill)
    _, height, width = get_dimensions(img)
    about = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
    matrix = geometry.inverse_affine(about, -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    out = geometry.rotated_size(matrix, width, height) if expand else (width, height)
    return _warped(img, matrix, out, interpolation, fill)


def affine(
    img: Any, angle: float, translate: Any, scale: float, shear: Any,
    interpolation: Any = InterpolationMode.NEAREST, fill: Any = None, center: Any = None,
) -> Any:  # fmt: skip
    """The image sheared, scaled, turned clockwise about `center` (x, y) or the middle, and moved.

    Angles are degrees; `translate` is (across, down) in pixels; `shear` is one angle or (x, y).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.affine.html
    """
    interpolation = mode_of(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (numbers.Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    slant: list[Any] = [shear, 0.0]
    if isinstance(shear, (list, tuple)):
        slant = [*shear, 0.0] if len(shear) == 1 else list(shear)
    if len(slant) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None:
        point(center, "Argument center")
    _, height, width = get_dimensions(img)
    move, slants = (float(translate[0]), float(translate[1])), (float(slant[0]), float(slant[1]))
    if is_pil(img):
        about = (width * 0.5, height * 0.5) if center is None else (float(center[0]), float(center[1]))
        return pillow.affine(img, geometry.inverse_affine(about, angle, move, scale, slants), interpolation, fill)
    about = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
    matrix = geometry.inverse_affine(about, angle, move, scale, slants)
    return _warped(img, matrix, (width, height), interpolation, fill)


def perspective(
    img: Any, startpoints: Any, endpoints: Any, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None
) -> Any:
    """The image seen so that its four start points (x, y) lie at the end points.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.perspective.html
    """
    interpolation = mode_of(interpolation)
    _, height, width = get_dimensions(img)
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    coefficients = geometry.perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return pillow.perspective(img, coefficients, interpolation, fill)
    return _warped(img, coefficients, (width, height), interpolation, fill)


# ---- colours


def _adjusted(img: Any, factor: float, name: str, enhancer: str, kernel: Any) -> Any:
    _need_image(img)
    if is_pil(img):
        return pillow.enhance(img, enhancer, factor)
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")
    _need_colours(img, 1, 3)
    return run(kernel, img, float(factor))


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """The image towards black (0) or brighter (above 1).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_brightness.html
    """
    return _adjusted(img, brightness_factor, "brightness_factor", "Brightness", colours.brightness)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """The image towards its mean gray (0) or away from it (above 1).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_contrast.html
    """
    return _adjusted(img, contrast_factor, "contrast_factor", "Contrast", colours.contrast)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """The image towards gray (0) or more colourful (above 1).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_saturation.html
    """
    return _adjusted(img, saturation_factor, "saturation_factor", "Color", colours.saturation)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """The image smoothed (0) or sharper (above 1).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_sharpness.html
    """
    return _adjusted(img, sharpness_factor, "sharpness_factor", "Sharpness", colours.sharpness)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Every hue turned by a share of the circle, in [-0.5, 0.5].

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_hue.html
    """
    _need_image(img)
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if is_pil(img):
        return pillow.adjust_hue(img, hue_factor)
    _need_colours(img, 1, 3)
    return run(colours.hue, img, float(hue_factor))


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """gain * x ** gamma, on brightness of [0, 1].

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.adjust_gamma.html
    """
    _need_image(img)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if is_pil(img):
        return pillow.adjust_gamma(img, gamma, gain)
    return run(colours.gamma, img, float(gamma), float(gain))


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A Pillow image's luma, in one channel or three.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.to_grayscale.html
    """
    if not is_pil(img):
        raise TypeError("Input should be PIL Image")
    return pillow.gray(img, num_output_channels)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """An image's luma, in one channel or three.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.rgb_to_grayscale.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.gray(img, num_output_channels)
    _need_colours(img, 1, 3)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return run(colours.gray, img, num_output_channels)


def invert(img: Any) -> Any:
    """The negative.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.invert.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.ImageOps.invert(img)
    _need_colours(img, 1, 3)
    return run(colours.invert, img)


def posterize(img: Any, bits: int) -> Any:
    """The upper bits of each byte.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.posterize.html
    """
    _need_image(img)
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if is_pil(img):
        return pillow.ImageOps.posterize(img, bits)
    _need_bytes(img)
    return run(colours.posterize, img, int(bits))


def _need_bytes(img: Any) -> None:
    _need_colours(img)
    if img.dtype != dtypes.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    _need_colours(img, 1, 3)


def solarize(img: Any, threshold: float) -> Any:
    """Values from a threshold on inverted.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.solarize.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.ImageOps.solarize(img, threshold)
    _need_colours(img, 1, 3)
    if threshold > (1 if img.dtype.is_floating_point else colours.largest(img.dtype.np)):
        raise TypeError("Threshold should be less than bound of img.")
    return run(colours.solarize, img, threshold)


def autocontrast(img: Any) -> Any:
    """Each channel stretched to the whole range.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.autocontrast.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.ImageOps.autocontrast(img)
    _need_colours(img, 1, 3)
    return run(colours.autocontrast, img)


def equalize(img: Any) -> Any:
    """Each channel with a flat histogram.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.equalize.html
    """
    _need_image(img)
    if is_pil(img):
        return pillow.ImageOps.equalize(img)
    _need_bytes(img)
    return run(colours.equalize, img.cpu()).to(img.device)


def _kernel_sizes(kernel_size: Any) -> tuple[int, int]:
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    return sizes[0], sizes[1]


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Convolution with a Gaussian of `kernel_size` pixels, one number or (across, down), likewise `sigma`.

    Without `sigma` it is 0.15 * kernel_size + 0.35.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.functional.gaussian_blur.html
    """
    sizes = _kernel_sizes(kernel_size)
    if sigma is not None and not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    if sigma is None:
        sigmas = [size * 0.15 + 0.35 for size in sizes]
    else:
        sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else [float(s) for s in sigma]
        sigmas = sigmas * 2 if len(sigmas) == 1 else sigmas
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if any(s <= 0.0 or math.isnan(s) for s in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigmas}")
    _need_image(img)
    tensor = pil_to_tensor(img) if is_pil(img) else img
    result = run(colours.blur, tensor, sizes, (sigmas[0], sigmas[1]))
    return to_pil_image(result, img.mode) if is_pil(img) else result
