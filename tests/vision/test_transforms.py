"""Every transform on every kind of image, beside torchvision's: same result, same draws, same printed form."""

import copy
import pickle
import random
import warnings

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.vision import transforms as ours
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)
from PIL import Image
from torchvision import transforms as theirs

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (3, 23, 30), dtype=np.uint8)
SMOOTH = np.stack([np.add.outer(np.arange(23), np.arange(30)) * k for k in (1, 3, 4)]).astype(np.uint8)
IMAGES = {
    "rgb": Image.fromarray(BYTES.transpose(1, 2, 0).copy()),
    "smooth": Image.fromarray(SMOOTH.transpose(1, 2, 0).copy()),
    "gray": Image.fromarray(BYTES[0].copy()),
    "rgba": Image.fromarray(np.concatenate([BYTES, BYTES[:1]]).transpose(1, 2, 0).copy()),
    "float": BYTES.astype(np.float32) / 255,
    "double": BYTES.astype(np.float64) / 255,
    "bytes": BYTES,
    "one channel": BYTES[:1].astype(np.float32) / 255,
    "batch": RNG.random((2, 3, 16, 21), dtype=np.float32),
}
COLOURED = ("rgb", "smooth", "gray", "float", "double", "bytes", "one channel", "batch")
PILLOW, TENSORS = ("rgb", "gray", "rgba"), ("float", "double", "bytes", "one channel", "batch")
ALL = (*PILLOW, *TENSORS)


def image(name, module):
    found = IMAGES[name]
    return module.from_numpy(found.copy()) if isinstance(found, np.ndarray) else found.copy()


def outcome(module, namespace, text, name, seed):
    """What a transform gives, or its error; and where the generators stand afterwards."""
    module.manual_seed(seed)
    random.seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = eval(text, {"T": namespace, "I": namespace.InterpolationMode, "torch": module})
        try:
            result = transform(image(name, module))
        except Exception as error:
            result = error
    return result, module.rand(1).item(), repr(transform)


def same(left, right):
    if isinstance(right, Exception):
        raise AssertionError(f"torchvision raised {right!r}, we gave {left!r}") from right
    if isinstance(left, Exception):
        raise left
    if isinstance(right, (tuple, list)):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            same(a, b)
    elif isinstance(right, Image.Image):
        assert left.mode == right.mode and left.size == right.size
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
    else:
        assert str(left.dtype) == str(right.dtype)
        torch.testing.assert_close(torch.from_numpy(left.numpy()), right)


def compare(text, name, seeds=(0, 1, 2)):
    for seed in seeds:
        left, left_after, left_text = outcome(jaxnn, ours, text, name, seed)
        right, right_after, right_text = outcome(torch, theirs, text, name, seed)
        same(left, right)
        assert left_after == right_after, "the generators went apart"
        assert left_text == right_text


EVERYWHERE = [
    "T.Resize(12)", "T.Resize((40, 17))", "T.Resize([9])", "T.Resize(20, max_size=24)", "T.Resize(40, antialias=False)",
    "T.Resize((11, 13), interpolation=I.NEAREST)", "T.Resize((33, 41), interpolation=I.BICUBIC)",
    "T.Resize((10, 41), I.BICUBIC)", "T.Resize(13, interpolation=2)",
    "T.CenterCrop(10)", "T.CenterCrop((9, 14))", "T.CenterCrop(40)", "T.CenterCrop((11, 50))",
    "T.RandomCrop(10)", "T.RandomCrop((12, 7), padding=3)", "T.RandomCrop(16, padding=(1, 2))",
    "T.RandomCrop(36, pad_if_needed=True)", "T.RandomCrop(14, padding=4, padding_mode='reflect')",
    "T.RandomCrop(14, padding=(1, 2, 3, 4), padding_mode='edge')",
    "T.RandomCrop(14, padding=3, padding_mode='symmetric')",
    "T.RandomResizedCrop(12)", "T.RandomResizedCrop((9, 14), scale=(0.3, 0.6), ratio=(0.5, 2))",
    "T.RandomResizedCrop(8, scale=(0.9, 1), ratio=(4, 5))", "T.RandomResizedCrop(10, interpolation=I.NEAREST)",
    "T.RandomHorizontalFlip()", "T.RandomVerticalFlip()", "T.RandomHorizontalFlip(p=1)", "T.RandomVerticalFlip(0)",
    "T.FiveCrop(7)", "T.TenCrop((5, 8))", "T.TenCrop(9, vertical_flip=True)",
    "T.Pad(2)", "T.Pad((1, 3))", "T.Pad((1, 2, 3, 4), padding_mode='reflect')", "T.Pad(3, padding_mode='symmetric')",
    "T.Pad(3, padding_mode='edge')", "T.Pad((-2, 1, 3, -1))", "T.Pad(5, fill=1)",
    "T.RandomRotation(30)", "T.RandomRotation((10, 80))", "T.RandomRotation(45, expand=True)",
    "T.RandomRotation(20, interpolation=I.BILINEAR, fill=0.5)", "T.RandomRotation(90, center=(3, 5))",
    "T.RandomAffine(20)", "T.RandomAffine(0, translate=(0.2, 0.3))", "T.RandomAffine(5, scale=(0.5, 1.5))",
    "T.RandomAffine(0, shear=10)", "T.RandomAffine(10, (0.1, 0.1), (0.8, 1.2), (-5, 5, -10, 10), I.BILINEAR)",
    "T.RandomAffine((3, 8), shear=(1, 9), center=(4, 4), fill=1)",
    "T.RandomPerspective()", "T.RandomPerspective(0.8, p=1)", "T.RandomPerspective(p=1, interpolation=I.NEAREST)",
    "T.RandomPerspective(p=1, fill=0.25)",
    "T.RandomApply([T.RandomCrop(10), T.RandomHorizontalFlip()], p=0.5)",
    "T.RandomChoice([T.RandomCrop(10), T.CenterCrop(10)])", "T.RandomChoice([T.Pad(1), T.Pad(2)], p=[1, 9])",
    "T.RandomOrder([T.Pad(2), T.CenterCrop(12)])",
]  # fmt: skip
IN_COLOUR = [
    "T.ColorJitter(0.4)", "T.ColorJitter(contrast=0.4)", "T.ColorJitter(saturation=0.9)", "T.ColorJitter(hue=0.3)",
    "T.ColorJitter(0.5, 0.4, 0.3, 0.2)", "T.ColorJitter((0.2, 0.4), (0.9, 1.7), (0, 3), (-0.5, 0.5))", "T.ColorJitter()",
    "T.Grayscale()", "T.Grayscale(3)", "T.RandomGrayscale(0.5)", "T.GaussianBlur(3)", "T.GaussianBlur((5, 3), 1.5)",
    "T.GaussianBlur(7, (0.3, 4.0))", "T.RandomInvert(1)", "T.RandomAutocontrast(1)", "T.RandomAdjustSharpness(2, 1)",
    "T.RandomAdjustSharpness(0.3, p=1)",
]  # fmt: skip
ON_TENSORS = [
    "T.Normalize(0.5, 0.25)", "T.Normalize((0.5,), (0.25,))", "T.ToPILImage()",
    "T.RandomErasing()", "T.RandomErasing(1, value='random')", "T.RandomErasing(p=1, scale=(0.1, 0.5), ratio=(0.9, 1.1))",
    "T.RandomErasing(1, value=0.75, inplace=True)", "T.RandomErasing(1, (0.9, 1.0), (0.1, 0.11))",
    "T.ConvertImageDtype(torch.float64)", "T.ConvertImageDtype(torch.uint8)", "T.ConvertImageDtype(torch.int16)",
    "T.ConvertImageDtype(torch.float16)",
]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", EVERYWHERE)
def test_geometry(text, name):
    if (text, name) not in TIES:
        compare(text, name)


#: A sum lies half-way between two bytes, and the order of the additions decides: see the next test.
TIES = {("T.Resize(40, antialias=False)", "bytes")}


def test_bytes_resized_without_antialiasing():
    """Wherever torchvision's sum is no tie, the byte is the same."""
    left = ours.functional.resize(jaxnn.from_numpy(BYTES.copy()), [40, 52], antialias=False).numpy()
    right = theirs.functional.resize(torch.from_numpy(BYTES.copy()), [40, 52], antialias=False).numpy()
    exact = theirs.functional.resize(torch.from_numpy(BYTES.astype(np.float64)), [40, 52], antialias=False).numpy()
    tie = np.abs(exact % 1 - 0.5) < 1e-4
    assert tie.mean() < 0.01
    np.testing.assert_array_equal(left[~tie], right[~tie])


@pytest.mark.parametrize("name", COLOURED)
@pytest.mark.parametrize("text", IN_COLOUR)
def test_colours(text, name):
    compare(text, name)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("text", ON_TENSORS)
def test_tensors(text, name):
    right, _, _ = outcome(torch, theirs, text, name, 0)
    if isinstance(right, Exception):
        left, _, _ = outcome(jaxnn, ours, text, name, 0)
        assert type(left) is type(right), f"{left!r}, {right!r}"
    else:
        compare(text, name)


@pytest.mark.parametrize("name", ["rgb", "gray", "bytes"])
@pytest.mark.parametrize(
    "text",
    [
        "T.RandomPosterize(3, 1)",
        "T.RandomSolarize(100, 1)",
        "T.RandomEqualize(1)",
        "T.Compose([T.ToTensor(), T.Normalize(0.5, 0.1)])",
        "T.ToTensor()",
        "T.PILToTensor()",
        "T.Compose([T.PILToTensor(), T.ConvertImageDtype(torch.float)])",
        "T.Lambda(lambda x: x)",
    ],
)
def test_bytes(text, name):
    test_tensors(text, name)


def test_smooth_images_equalize():
    for text in ("T.RandomEqualize(1)", "T.RandomAutocontrast(1)"):
        compare(text, "smooth")
        for namespace, module in ((ours, jaxnn), (theirs, torch)):
            module.manual_seed(0)
        left = ours.functional.equalize(jaxnn.from_numpy(SMOOTH.copy()))
        same(left, theirs.functional.equalize(torch.from_numpy(SMOOTH.copy())))


def test_channels_of_normalize_and_erase():
    for text in (
        "T.Normalize((0.1, 0.2, 0.3), [1, 2, 3])", "T.RandomErasing(1, value=(0.1, 0.2, 0.3))",
        "T.Normalize(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1., 2., 3.]))",
    ):  # fmt: skip
        for name in ("float", "double", "batch"):
            for seed in range(3):
                left, right = outcome(jaxnn, ours, text, name, seed)[0], outcome(torch, theirs, text, name, seed)[0]
                same(left, right)


@pytest.mark.parametrize(
    "mode, array",
    [
        ("1", BYTES[0] > 100), ("L", BYTES[0]), ("I", BYTES[0].astype(np.int32) * 300), ("F", BYTES[0].astype(np.float32)),
        ("RGB", BYTES.transpose(1, 2, 0)), ("I;16", BYTES[0].astype(np.uint16) * 100),
    ],
)  # fmt: skip
def test_modes_of_pillow(mode, array):
    made = Image.fromarray(np.ascontiguousarray(array))
    assert made.mode == mode
    for name in ("to_tensor", "pil_to_tensor"):
        same(getattr(ours.functional, name)(made), getattr(theirs.functional, name)(made))


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (2, 5, 6), (3, 5, 6), (4, 5, 6), (5, 5, 6), (2, 3, 5, 6)])
def test_to_pil_image(kind, shape):
    array = RNG.integers(0, 200, shape).astype(kind) / (200 if kind.startswith("float") else 1)
    array = array.astype(kind)
    for mode in (None, "L", "RGB", "YCbCr", "F", "LA", "CMYK", "I"):
        for given in (lambda m: m.from_numpy(array.copy()), lambda m: array):
            results = []
            for module, namespace in ((jaxnn, ours), (torch, theirs)):
                try:
                    results.append(namespace.functional.to_pil_image(given(module), mode))
                except Exception as error:
                    results.append(error)
            left, right = results
            if isinstance(right, Exception):
                assert isinstance(left, type(right)), f"{mode} {left!r} {right!r}"
            elif mode and kind.startswith("int") and array.ndim == 3 and array.shape[0] > 1:
                assert isinstance(left, TypeError)  # torchvision takes the low bytes of wider numbers for pixels
            else:
                same(left, right)


def test_to_tensor_of_arrays():
    for array in (BYTES.transpose(1, 2, 0), BYTES[0], IMAGES["float"], IMAGES["double"][0]):
        same(ours.ToTensor()(array), theirs.ToTensor()(array))
    for wrong in ([[1, 2]], np.zeros(3), np.zeros((1, 2, 3, 4)), "text"):
        with pytest.raises((TypeError, ValueError)) as right:
            theirs.ToTensor()(wrong)
        with pytest.raises(type(right.value), match=r"pic should be"):
            ours.ToTensor()(wrong)


FUNCTIONS = [
    "F.adjust_gamma(x, 0.7)", "F.adjust_gamma(x, 1.3, gain=0.9)", "F.rotate(x, 33.0)", "F.hflip(x)", "F.vflip(x)",
    "F.affine(x, 10, [2, 3], 1.1, [4, 5])", "F.affine(x, -10, (2, 3), 0.9, 7.0, center=[3, 4])",
    "F.crop(x, -2, 3, 10, 40)", "F.crop(x, 2, 3, 10, 11)", "F.resized_crop(x, 1, 2, 9, 8, [5, 6])",
    "F.get_dimensions(x)", "F.get_image_size(x)", "F.get_image_num_channels(x)", "F.rgb_to_grayscale(x, 3)",
    "F.gaussian_blur(x, 5)", "F.gaussian_blur(x, [3, 5], [1.0, 2.0])", "F.adjust_hue(x, 0.5)", "F.adjust_hue(x, -0.3)",
    "F.adjust_brightness(x, 1.9)", "F.adjust_contrast(x, 0)", "F.adjust_saturation(x, 2.5)", "F.invert(x)",
]  # fmt: skip


@pytest.mark.parametrize("name", ["rgb", "float", "bytes", "batch"])
@pytest.mark.parametrize("text", FUNCTIONS)
def test_functional(text, name):
    left = eval(text, {"F": ours.functional, "x": image(name, jaxnn)})
    right = eval(text, {"F": theirs.functional, "x": image(name, torch)})
    if isinstance(right, (list, int)):
        assert left == right
    else:
        same(left, right)


WRONG = [
    "T.Resize((1, 2, 3))", "T.Resize(20, max_size=15)(x)", "T.Resize((3, 4), max_size=9)(x)",
    "T.RandomCrop(99)(x)", "T.FiveCrop(99)(x)", "T.Pad('a')", "T.Pad((1, 2, 3))", "T.Pad(1, padding_mode='no')",
    "T.Lambda(3)", "T.RandomOrder(3)", "T.RandomRotation(-1)", "T.RandomRotation((1, 2, 3))", "T.RandomAffine(-3)",
    "T.RandomAffine(1, translate=(2, 0))", "T.RandomAffine(1, scale=(0, 1))", "T.ColorJitter(-1)", "T.ColorJitter('a')",
    "T.ColorJitter(hue=0.7)", "T.ColorJitter((2, 1))", "T.GaussianBlur(4)", "T.GaussianBlur(3, -1)",
    "T.GaussianBlur(3, (2, 1))", "T.RandomErasing(2)", "T.RandomErasing(value='no')", "T.RandomErasing(scale=3)",
    "T.Normalize(0.5, 0)(x)", "T.Normalize((1, 2), (1, 2))(x)", "T.functional.hflip(3)", "T.functional.resize('a', 3)",
    "T.functional.rotate(x, 'a')", "T.functional.affine(x, 1, [1], 1, [1, 1])", "T.functional.adjust_hue(x, 0.6)",
    "T.functional.adjust_gamma(x, -1)", "T.functional.adjust_brightness(x, -1)", "T.functional.to_grayscale(x)",
    "T.functional.pad(x, 40, padding_mode='reflect')", "T.functional.posterize(x, 9)", "T.functional.solarize(x, 5)",
    "T.Resize(3, interpolation=I.LANCZOS)(x)", "T.functional.rotate(x, 3, I.BICUBIC)", "T.PILToTensor()(x)",
    "T.functional.center_crop(3, 2)", "T.RandomResizedCrop(3, scale=3)", "T.CenterCrop((1, 2, 3))",
    "T.functional.rotate(x, 3, fill=[1, 2])",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_errors(text):
    errors = []
    for module, namespace in ((jaxnn, ours), (torch, theirs)):
        with pytest.raises(Exception) as found:
            eval(text, {"T": namespace, "I": namespace.InterpolationMode, "x": image("float", module)})
        errors.append(found.value)
    assert type(errors[0]) is type(errors[1]), errors
    assert str(errors[0])


def test_gradients():
    weight = RNG.standard_normal((3, 23, 30)).astype(np.float32)
    for text in (
        "F.hflip(x)", "F.resize(x, [11, 12])", "F.normalize(x, [0.5], [0.2])", "F.rotate(x, 20.0)", "F.pad(x, 2)",
        "F.rotate(x, 20.0, F.InterpolationMode.BILINEAR)", "F.crop(x, -1, 2, 9, 9)", "F.gaussian_blur(x, 3)",
        "F.adjust_contrast(x, 0.5)", "F.rgb_to_grayscale(x)",
    ):  # fmt: skip
        gradients = []
        for module, namespace in ((jaxnn, ours), (torch, theirs)):
            x = image("float", module).requires_grad_()
            y = eval(text, {"F": namespace.functional, "x": x})
            w = module.from_numpy(np.resize(weight, tuple(y.shape)).copy())
            (y * w).sum().backward()
            gradients.append(torch.from_numpy(x.grad.numpy()))
        torch.testing.assert_close(*gradients)


def test_inplace_and_aliases():
    x = image("float", jaxnn)
    before = x.clone()
    result = ours.functional.hflip(x)
    x += 1
    same(result, theirs.functional.hflip(torch.from_numpy(before.numpy())))
    assert ours.Normalize(0.5, 0.5, inplace=True)(x) is x
    kept = ours.functional.crop(x, 0, 0, 23, 30)
    x.zero_()
    assert float(kept.abs().sum()) > 0


def test_pickle_copy_and_sequential():
    transform = ours.Compose([ours.RandomCrop(8), ours.RandomHorizontalFlip(), ours.ToTensor()])
    for made in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert repr(made) == repr(transform)
    text = "torch.nn.Sequential(T.CenterCrop(10), T.ConvertImageDtype(torch.float))"
    left, right = outcome(jaxnn, ours, text, "bytes", 0)[0], outcome(torch, theirs, text, "bytes", 0)[0]
    same(left, right)


def test_a_cifar_recipe():
    """The augmentation of many training programs, image after image from one stream."""
    recipe = """T.Compose([T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ColorJitter(0.2, 0.2, 0.2),
        T.RandomRotation(15), T.ToTensor(), T.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)), T.RandomErasing()])"""
    results = []
    for module, namespace in ((jaxnn, ours), (torch, theirs)):
        module.manual_seed(5)
        transform = eval(recipe, {"T": namespace})
        source = np.random.default_rng(1)
        images = [Image.fromarray(source.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(10)]
        results.append([transform(img) for img in images])
    same(*results)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision(kind):
    for text in (
        "F.normalize(x, 0.5, 0.25)", "F.resize(x, [5, 6])", "F.hflip(x)", "F.pad(x, 2, fill=0.5)", "F.gaussian_blur(x, 3)",
        "F.adjust_contrast(x, 0.5)", "F.adjust_hue(x, 0.2)", "F.rgb_to_grayscale(x)", "F.adjust_sharpness(x, 2)",
        "F.convert_image_dtype(x, T.uint8)", "F.convert_image_dtype(x, T.float32)", "F.adjust_gamma(x, 0.7)",
    ):  # fmt: skip
        left, right = (
            eval(text, {"F": namespace.functional, "T": module, "x": image("float", module).to(getattr(module, kind))})
            for module, namespace in ((jaxnn, ours), (torch, theirs))
        )
        assert str(left.dtype) == str(right.dtype)
        torch.testing.assert_close(torch.from_numpy(left.float().numpy()).to(right.dtype), right)
