"""What torchvision's compiled operators compute, written as loops over single elements from their papers."""

import math

import torch


def nms(boxes, scores, threshold, kinds=None):
    left = sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i))
    kept = []
    while left:
        first = left.pop(0)
        kept.append(first)
        left = [
            i
            for i in left
            if overlap(boxes[first], boxes[i]) <= threshold or (kinds is not None and kinds[first] != kinds[i])
        ]
    return torch.tensor(kept, dtype=torch.int64)


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def pixel(channel, y, x):
    """An element of a map, zero outside."""
    inside = 0 <= y < channel.shape[0] and 0 <= x < channel.shape[1]
    return channel[y, x] if inside else channel.new_zeros(())


def sample(channel, y, x):
    """Interpolation of the regions: up to one place outside counts as the border."""
    height, width = channel.shape
    if y < -1 or y > height or x < -1 or x > width:
        return channel.new_zeros(())
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    return (
        (1 - v) * (1 - u) * channel[top, left] + (1 - v) * u * channel[top, right]
        + v * (1 - u) * channel[bottom, left] + v * u * channel[bottom, right]
    )  # fmt: skip


def regions_of(input, rois, size, scale, ratio, aligned, own_channels):
    """roi_align, and with channels of their own for each bin ps_roi_align."""
    rows, columns = size
    channels = input.shape[1] // (rows * columns) if own_channels else input.shape[1]
    regions = []
    for roi in rois.tolist():
        map_ = input[int(roi[0])]
        move = 0.5 if aligned or own_channels else 0.0
        x1, y1, x2, y2 = (scale * value - move for value in roi[1:])
        width, height = x2 - x1, y2 - y1
        if not aligned and not own_channels:
            width, height = max(width, 1.0), max(height, 1.0)
        down, across = height / rows, width / columns
        many_y = ratio if ratio > 0 else math.ceil(down)
        many_x = ratio if ratio > 0 else math.ceil(across)
        for channel in range(channels):
            for i in range(rows):
                for j in range(columns):
                    source = map_[(channel * rows + i) * columns + j] if own_channels else map_[channel]
                    total = input.new_zeros(())
                    for a in range(many_y):
                        for b in range(many_x):
                            y = y1 + i * down + (a + 0.5) * down / many_y
                            x = x1 + j * across + (b + 0.5) * across / many_x
                            total = total + sample(source, y, x)
                    regions.append(total / max(many_y * many_x, 1))
    return torch.stack(regions).reshape(len(rois), channels, rows, columns)


def roi_pool(input, rois, size, scale):
    rows, columns = size
    away = lambda value: int(math.copysign(math.floor(abs(value) + 0.5), value))
    regions = []
    for roi in rois.tolist():
        map_ = input[int(roi[0])]
        x1, y1, x2, y2 = (away(scale * value) for value in roi[1:])
        down, across = max(y2 - y1 + 1, 1) / rows, max(x2 - x1 + 1, 1) / columns
        for channel in map_:
            for i in range(rows):
                for j in range(columns):
                    places = [
                        channel[y, x]
                        for y in range(max(y1 + math.floor(i * down), 0), min(y1 + math.ceil((i + 1) * down), channel.shape[0]))
                        for x in range(max(x1 + math.floor(j * across), 0), min(x1 + math.ceil((j + 1) * across), channel.shape[1]))
                    ]  # fmt: skip
                    best = (
                        max(places, key=lambda place: place.item()) if places else input.new_zeros(())
                    )  # max takes the first of equals
                    regions.append(best)
    return torch.stack(regions).reshape(len(rois), input.shape[1], rows, columns)


def deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask):
    count, channels = input.shape[:2]
    made, per_group, rows, columns = weight.shape
    height, width = offset.shape[2:]
    taps = rows * columns
    offset_groups = offset.shape[1] // (2 * taps)
    out = []
    for n in range(count):
        for o in range(made):
            first = o // (made // (channels // per_group)) * per_group
            for i in range(height):
                for j in range(width):
                    total = bias[o]
                    for c in range(per_group):
                        group = (first + c) // (channels // offset_groups)
                        for a in range(rows):
                            for b in range(columns):
                                tap = group * taps + a * columns + b
                                y = i * stride[0] - padding[0] + a * dilation[0] + offset[n, 2 * tap, i, j]
                                x = j * stride[1] - padding[1] + b * dilation[1] + offset[n, 2 * tap + 1, i, j]
                                value = displaced(input[n, first + c], y, x)
                                if mask is not None:
                                    value = value * mask[n, tap, i, j]
                                total = total + value * weight[o, c, a, b]
                    out.append(total)
    return torch.stack(out).reshape(count, made, height, width)


def displaced(channel, y, x):
    """Interpolation of the displaced taps: what is outside counts as zero."""
    top, left = math.floor(float(y)), math.floor(float(x))
    v, u = y - top, x - left
    return (
        (1 - v) * (1 - u) * pixel(channel, top, left) + (1 - v) * u * pixel(channel, top, left + 1)
        + v * (1 - u) * pixel(channel, top + 1, left) + v * u * pixel(channel, top + 1, left + 1)
    )  # fmt: skip
