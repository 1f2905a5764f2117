"""Operators on boxes and regions beside torchvision's, and beside loops where those are compiled code."""

import io
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import func
from jaxnn.vision import ops
from tests.vision import region_loops as loops
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)

theirs = torchvision.ops
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="module")
def one_by_one():
    jaxnn.set_execution_mode("operators")
    yield
    jaxnn.set_execution_mode("auto")


def some_boxes(count, size=20.0, kind="float32"):
    corner = rng.uniform(0, 0.7 * size, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 0.5 * size, (count, 2))], 1).astype(kind)


def compare(call, *arrays, tolerance=(1e-5, 1e-6), their_call=None):
    """Values, types and gradients of a call ``(ops, *tensors)`` on either library."""
    results = []
    for library, its_ops, run in ((jaxnn, ops, call), (torch, theirs, their_call or call)):
        tensors = [library.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        y = run(its_ops, *tensors)
        found = [y.detach().numpy()]
        if y.requires_grad:
            weight = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(found[0].dtype)
            (y * library.tensor(weight)).sum().backward()
            found += [t.grad.numpy() for t in tensors if t.grad is not None]
        results.append(found)
    assert len(results[0]) == len(results[1])
    for left, right in zip(*results):
        assert left.dtype == right.dtype and left.shape == right.shape
        np.testing.assert_allclose(left, right, *tolerance)


@pytest.mark.parametrize("name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"])
def test_overlaps(name):
    call = lambda ops, a, b: getattr(ops, name)(a, b)
    compare(call, some_boxes(4), some_boxes(3))
    compare(call, some_boxes(2, kind="float64"), some_boxes(3, kind="float64"))
    compare(call, some_boxes(3, 100).astype("int64"), some_boxes(2, 100).astype("int64"))
    compare(call, some_boxes(3).astype("float16"), some_boxes(2).astype("float16"), tolerance=(1e-3, 1e-3))


def test_formats():
    for start in ("xyxy", "xywh", "cxcywh"):
        compare(lambda ops, a: ops.box_area(a, start), some_boxes(3))
        compare(lambda ops, a, b: ops.box_iou(a, b, start), some_boxes(3), some_boxes(2))
        for end in ("xyxy", "xywh", "cxcywh"):
            compare(lambda ops, a: ops.box_convert(a, start, end), some_boxes(3))
            compare(lambda ops, a: ops.box_convert(a, start, end), some_boxes(3).astype("int64"))
    for library, its_ops in ((jaxnn, ops), (torch, theirs)):
        boxes = library.ones(2, 4)
        for call in (
            lambda: its_ops.box_area(boxes, "a"), lambda: its_ops.box_convert(boxes, "a", "xyxy"),
            lambda: its_ops.box_iou(boxes, boxes, "a"), lambda: its_ops.sigmoid_focal_loss(boxes, boxes, alpha=3),
            lambda: its_ops.sigmoid_focal_loss(boxes, boxes, reduction="a"), lambda: its_ops.StochasticDepth(2.0, "row")(boxes),
            lambda: its_ops.stochastic_depth(boxes, 0.1, "a"), lambda: its_ops.FeaturePyramidNetwork([0], 3),
            lambda: its_ops.DeformConv2d(3, 4, 3, groups=2),
        ):  # fmt: skip
            with pytest.raises(ValueError):
                call()
        with pytest.raises(AssertionError):
            its_ops.roi_align(library.ones(1, 2, 4, 4), boxes, 2)
        with pytest.raises(AssertionError):
            its_ops.roi_align(library.ones(1, 2, 4, 4), [library.ones(2, 5)], 2)
    with pytest.raises(NotImplementedError, match="in_fmt"):
        ops.box_convert(jaxnn.ones(2, 5), "xywhr", "cxcywhr")


def test_choices_of_boxes():
    boxes = np.concatenate([some_boxes(5) - 5, np.array([[3, 3, 3.5, 9]], "float32")])
    compare(lambda ops, a: ops.clip_boxes_to_image(a, (9, 11)), boxes)
    compare(lambda ops, a: ops.remove_small_boxes(a, 2.0), boxes)
    masks = rng.random((4, 6, 7)) > 0.8
    masks[2] = False
    compare(lambda ops, a: ops.masks_to_boxes(a), masks)
    compare(lambda ops, a: ops.masks_to_boxes(a), np.zeros((0, 3, 3), "float32"))


def test_suppression():
    boxes, scores, kinds = some_boxes(60), rng.random(60).astype("float32"), rng.integers(0, 3, 60)
    scores[10:14] = scores[5]
    mine = jaxnn.tensor
    for threshold in (0.0, 0.3, 0.7):
        want = loops.nms(boxes, scores, threshold)
        got = ops.nms(mine(boxes), mine(scores), threshold)
        assert got.dtype == jaxnn.int64 and got.tolist() == want.tolist()
        want = loops.nms(boxes, scores, threshold, kinds)
        assert ops.batched_nms(mine(boxes), mine(scores), mine(kinds), threshold).tolist() == want.tolist()
    assert ops.nms(jaxnn.zeros(0, 4), jaxnn.zeros(0), 0.5).shape == (0,)
    with pytest.raises(RuntimeError, match="2d|shape"):
        ops.nms(jaxnn.zeros(4), jaxnn.zeros(4), 0.5)
    with pytest.raises(NotImplementedError):
        func.vmap(lambda b, s: ops.nms(b, s, 0.5))(jaxnn.ones(2, 3, 4), jaxnn.ones(2, 3))


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"])
def test_box_losses(name):
    for reduction in ("none", "mean", "sum"):
        compare(lambda ops, a, b: getattr(ops, name)(a, b, reduction), some_boxes(6, 9), some_boxes(6, 9))
    compare(lambda ops, a, b: getattr(ops, name)(a, b, "mean"), some_boxes(0), some_boxes(0))


def test_focal_loss():
    x, t = rng.standard_normal((3, 4)).astype("float32"), (rng.random((3, 4)) > 0.5).astype("float32")
    for alpha, gamma, reduction in ((0.25, 2, "none"), (-1, 1.5, "mean"), (0.7, 0, "sum")):
        compare(lambda ops, a, b: ops.sigmoid_focal_loss(a, b, alpha, gamma, reduction), x, t)


ROIS = np.array(
    [[0, 0.3, 1.2, 5.1, 6.7], [1, -3, -2, 4, 3], [1, 2, 2, 2.2, 2.1], [0, 4, 5, 14, 12], [1, 1, 1, 9, 7.5]], "float64"
)


@pytest.mark.parametrize("ratio", [2, -1])
@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align(ratio, aligned):
    maps = rng.standard_normal((2, 2, 8, 9))
    compare(
        lambda ops, x, r: ops.roi_align(x, r.detach(), (2, 3), 0.8, ratio, aligned), maps, ROIS,
        their_call=lambda _, x, r: loops.regions_of(x, r, (2, 3), 0.8, ratio, aligned, False),
    )  # fmt: skip
    # torchvision's own, which it writes in PyTorch for other devices; outside of the map it does not do what its kernels do.
    alone, inside = sys.modules["torchvision.ops.roi_align"]._roi_align, ROIS[[0, 2, 4]]
    with torch.compiler.set_stance("force_eager"):
        want = alone(*map(torch.tensor, (maps, inside)), 0.8, 2, 3, ratio, aligned)
    got = ops.RoIAlign((2, 3), 0.8, ratio, aligned)(jaxnn.tensor(maps), jaxnn.tensor(inside))
    np.testing.assert_allclose(got.numpy(), want.numpy(), 1e-10, 1e-12)


def test_regions():
    maps = rng.standard_normal((2, 12, 8, 9))
    maps[0, 0, 2:4, 2:4] = 9.0  # equal largest values: the gradient goes to the first
    for ratio in (2, -1):
        compare(
            lambda ops, x, r: ops.ps_roi_align(x, r.detach(), (2, 3), 0.8, ratio), maps, ROIS,
            their_call=lambda _, x, r: loops.regions_of(x, r, (2, 3), 0.8, ratio, False, True),
        )  # fmt: skip
    compare(
        lambda ops, x, r: ops.roi_pool(x, r.detach(), (2, 3), 0.8), maps[:, :2], ROIS,
        their_call=lambda _, x, r: loops.roi_pool(x, r, (2, 3), 0.8),
    )  # fmt: skip
    x, boxes = jaxnn.tensor(maps), [jaxnn.tensor(ROIS[:2, 1:]), jaxnn.tensor(ROIS[2:, 1:])]
    numbered = ROIS.copy()
    numbered[:, 0] = [0, 0, 1, 1, 1]
    for name, arguments in (("roi_align", (2,)), ("roi_pool", ()), ("ps_roi_align", (2,))):
        call = getattr(ops, name)
        want = call(x, jaxnn.tensor(numbered), 2, 1.0, *arguments)
        assert want.equal(call(x, boxes, 2, 1.0, *arguments))
        assert (
            call(x, [], 2).shape[0] == 0 if False else call(x, jaxnn.zeros(0, 5, dtype=jaxnn.float64), 2).shape[0] == 0
        )
    with pytest.raises(NotImplementedError, match="sampling_ratio"):
        func.vmap(lambda r: ops.roi_align(x, r, 2))(jaxnn.tensor(ROIS)[None])
    for module in (ops, theirs):
        assert repr(module.RoIAlign((2, 3), 0.5, 2)) == repr(theirs.RoIAlign((2, 3), 0.5, 2))
        assert repr(module.RoIPool(2, 0.5)) == repr(theirs.RoIPool(2, 0.5))
        assert repr(module.PSRoIAlign(2, 0.5, 1)) == repr(theirs.PSRoIAlign(2, 0.5, 1))


def test_deformable_convolution():
    arrays = [
        rng.standard_normal((2, 4, 5, 6)), 2 * rng.standard_normal((2, 2 * 2 * 6, 3, 3)), rng.standard_normal((4, 2, 3, 2)),
        rng.standard_normal(4), rng.random((2, 2 * 6, 3, 3)),
    ]  # fmt: skip
    options = {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 2)}
    compare(
        lambda ops, x, o, w, b, m: ops.deform_conv2d(x, o, w, b, **options, mask=m), *arrays,
        their_call=lambda _, x, o, w, b, m: loops.deform_conv2d(x, o, w, b, **options, mask=m),
    )  # fmt: skip
    layers = []
    for library, its_ops in ((jaxnn, ops), (torch, theirs)):
        library.manual_seed(0)
        layers.append(its_ops.DeformConv2d(4, 6, (3, 2), padding=1, groups=2))
    assert repr(layers[0]) == repr(layers[1])
    for mine, other in zip(layers[0].parameters(), layers[1].parameters()):
        assert mine.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    x = jaxnn.tensor(arrays[0]).float()
    still = layers[0](x, jaxnn.zeros(2, 12, 5, 7))
    want = jaxnn.nn.functional.conv2d(x, layers[0].weight, layers[0].bias, padding=1, groups=2)
    np.testing.assert_allclose(still.detach().numpy(), want.detach().numpy(), 1e-5, 1e-5)
    with pytest.raises(RuntimeError, match="offset"):
        ops.deform_conv2d(x, jaxnn.zeros(2, 12, 5, 5), layers[0].weight, padding=1)


def layers(ops, nn):
    fpn = sys.modules[ops.__name__ + ".feature_pyramid_network"]
    yield ops.Conv2dNormActivation(3, 4, (3, 5), dilation=2), (2, 3, 9, 9)
    yield ops.Conv3dNormActivation(3, 4, activation_layer=None, norm_layer=None), (1, 3, 4, 4, 4)
    yield ops.SqueezeExcitation(4, 2, activation=nn.SiLU), (2, 4, 3, 3)
    yield ops.MLP(4, [6, 5, 3], norm_layer=nn.LayerNorm, dropout=0.3, inplace=False), (2, 4)
    yield ops.Permute([2, 0, 1]), (2, 3, 4)
    yield ops.FrozenBatchNorm2d(3, eps=1e-3), (2, 3, 4, 4)
    yield ops.StochasticDepth(0.4, "row"), (6, 3)
    yield ops.StochasticDepth(0.4, "batch"), (6, 3)
    yield ops.StochasticDepth(1.0, "row"), (6, 3)
    yield ops.FeaturePyramidNetwork([3, 4], 2, fpn.LastLevelP6P7(4, 2)), None
    yield ops.FeaturePyramidNetwork([3, 4], 2, fpn.LastLevelMaxPool(), norm_layer=nn.BatchNorm2d), None


def test_layers():
    made = []
    for library, its_ops in ((jaxnn, ops), (torch, theirs)):
        library.manual_seed(0)
        made.append(list(layers(its_ops, library.nn)))
    for (mine, shape), (other, _) in zip(*made):
        assert repr(mine) == repr(other)
        left, right = mine.state_dict(), other.state_dict()
        assert list(left) == list(right)
        for key in left:
            assert left[key].numpy().tobytes() == right[key].numpy().tobytes(), key
        shapes = [shape] if shape else [(1, 3, 6, 6), (1, 4, 3, 3)]
        arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
        results = []
        for library, layer in ((jaxnn, mine), (torch, other)):
            library.manual_seed(1)
            tensors = [library.tensor(a) for a in arrays]
            y = layer(tensors[0]) if shape else layer(OrderedDict(zip(("a", "b"), tensors)))
            results.append([(k, v.detach().numpy()) for k, v in (y.items() if isinstance(y, dict) else [("", y)])])
        for (name, a), (their_name, b) in zip(*results, strict=True):
            assert name == their_name
            np.testing.assert_allclose(a, b, 1e-5, 1e-5, err_msg=repr(mine))


def test_older_checkpoints():
    """Keys of former versions, as published files have them."""
    file = io.BytesIO()
    plain = torch.nn.BatchNorm2d(3)
    torch.save(plain.state_dict(), file)
    file.seek(0)
    ops.FrozenBatchNorm2d(3).load_state_dict(jaxnn.load(file))
    pyramid = ops.FeaturePyramidNetwork([3], 2)
    older = {key.replace(".0.0.", ".0."): value for key, value in pyramid.state_dict().items()}
    pyramid.load_state_dict(older)
