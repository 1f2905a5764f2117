"""Sounds and moving pictures as entries of an event file."""

from __future__ import annotations

import io
import math
import wave
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX.proto.summary_pb2 import Summary

from .values import as_bytes, as_numpy

__all__ = ["audio_summary", "video_summary"]


def audio_summary(tag: str, sound: Any, sample_rate: int) -> Any:
    """One channel of samples from -1 to 1 as a WAVE file of 16 bits."""
    samples = np.asarray(as_numpy(sound)).squeeze()
    if samples.ndim != 1:
        raise AssertionError(f"add_audio: expected samples of shape (1, L), got {np.shape(as_numpy(sound))}")
    samples = np.clip(samples, -1, 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes((samples * np.iinfo(np.int16).max).astype("<i2").tobytes())
    audio = Summary.Audio(
        sample_rate=sample_rate, num_channels=1, length_frames=len(samples), encoded_audio_string=file.getvalue(),
        content_type="audio/wav",
    )  # fmt: skip
    return Summary(value=[Summary.Value(tag=tag, audio=audio)])


def video_summary(tag: str, video: Any, fps: float) -> Any:
    """Videos of shape (N, T, C, H, W) side by side, as a GIF."""
    frames = as_bytes(video)
    if frames.ndim != 5 or frames.shape[2] not in (1, 3):
        raise AssertionError(f"add_video: expected a video of shape (N, T, C, H, W), got {frames.shape}")
    count, time, channels, height, width = frames.shape
    rows = 2 ** int(math.log2(count) / 2)  # near a square, as a picture of several images
    columns = -(-count // rows)
    empty = np.zeros((rows * columns - count, *frames.shape[1:]), np.uint8)
    grid = np.concatenate([frames, empty]).reshape(rows, columns, time, channels, height, width)
    grid = grid.transpose(2, 0, 4, 1, 5, 3).reshape(time, rows * height, columns * width, channels)
    pictures = [Image.fromarray(f[..., 0] if channels == 1 else f) for f in grid]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
    image = Summary.Image(
        height=grid.shape[1], width=grid.shape[2], colorspace=channels, encoded_image_string=file.getvalue()
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])
