"""Pictures read and written: what stands in them by Pillow, arguments and errors by torchvision."""

import inspect

import numpy as np
import pytest
from PIL import Image

import jaxnn
from jaxnn.vision import io as ours
from tests.vision.reference import torchvision

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (4, 5, 7), dtype=np.uint8)


def picture(channels):
    values = PIXELS[:channels]
    return Image.fromarray(values[0] if channels == 1 else np.ascontiguousarray(values.transpose(1, 2, 0)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_files_have_every_value(channels, tmp_path):
    path = tmp_path / "a.png"
    picture(channels).save(path)
    read = ours.read_image(str(path))
    assert read.dtype == jaxnn.uint8 and np.array_equal(read.numpy(), PIXELS[:channels])
    assert np.array_equal(ours.decode_image(ours.read_file(path)).numpy(), PIXELS[:channels])
    for mode, name in (("GRAY", "L"), ("RGB", "RGB"), (ours.ImageReadMode.RGB_ALPHA, "RGBA")):
        want = np.asarray(picture(channels).convert(name))
        got = ours.decode_png(ours.read_file(path), mode).numpy()
        assert np.array_equal(got, want[None] if want.ndim == 2 else want.transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_written_files(channels, tmp_path):
    values = jaxnn.tensor(PIXELS[:channels])
    ours.write_png(values, tmp_path / "a.png", compression_level=9)
    assert np.array_equal(ours.read_image(tmp_path / "a.png").numpy(), PIXELS[:channels])
    ours.write_jpeg(values, str(tmp_path / "a.jpg"), quality=90)
    want = np.asarray(Image.open(tmp_path / "a.jpg"))
    got = ours.decode_jpeg([ours.read_file(tmp_path / "a.jpg")])[0].numpy()
    assert np.array_equal(got, want[None] if want.ndim == 2 else want.transpose(2, 0, 1))


def test_other_files(tmp_path):
    deep = rng.integers(0, 65536, (3, 4), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    read = ours.read_image(tmp_path / "deep.png")
    assert read.dtype == jaxnn.uint16 and np.array_equal(read.numpy(), deep[None])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture(3).save(tmp_path / "turned.png", exif=exif)
    turned = ours.read_image(tmp_path / "turned.png", apply_exif_orientation=True).numpy()
    assert np.array_equal(turned, np.rot90(PIXELS[:3], -1, (1, 2)))
    picture(3).convert("P").save(tmp_path / "palette.png")
    assert ours.read_image(tmp_path / "palette.png").shape == (3, 5, 7)


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        ours.read_image(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("no picture")
    jpeg = ours.encode_jpeg(jaxnn.tensor(PIXELS[:3]))
    for call in (
        lambda: ours.read_image(tmp_path / "text.png"), lambda: ours.decode_png(jpeg), lambda: ours.decode_image(jpeg.float()),
        lambda: ours.decode_image(jpeg[:0]), lambda: ours.encode_png(jaxnn.tensor(PIXELS)),
        lambda: ours.encode_png(jaxnn.zeros(3, 2, 2)), lambda: ours.encode_jpeg(jaxnn.tensor(PIXELS[0])),
        lambda: ours.encode_png(jaxnn.tensor(PIXELS[:3]), 11), lambda: ours.write_file(tmp_path / "a", jaxnn.zeros(3)),
    ):  # fmt: skip
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(ValueError, match="quality"):
        ours.encode_jpeg(jaxnn.tensor(PIXELS[:3]), 0)


@pytest.mark.skipif(torchvision is None, reason="needs torchvision")
def test_arguments():
    for name in set(ours.__all__) - {"ImageReadMode"}:
        left, right = (inspect.signature(getattr(library, name)).parameters for library in (ours, torchvision.io))
        assert list(left) == list(right), name
        for key in left:
            assert str(left[key].default) == str(right[key].default), (name, key)
    assert {m.name: m.value for m in ours.ImageReadMode} == {m.name: m.value for m in torchvision.io.ImageReadMode}
