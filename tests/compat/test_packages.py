"""Packages written for PyTorch, unmodified: the programs of `packages/programs.py` on PyTorch and by ``python -m jaxnn``.

The packages are those of the environment, and of the folder that ``JAXNN_PACKAGES`` names; what is absent is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SITE = os.environ.get("JAXNN_PACKAGES", "-")
PROGRAMS = Path(__file__).parent / "packages" / "programs.py"
NAMES = (
    "einops", "vit_pytorch", "rotary", "x_transformers", "safetensors", "generate", "peft", "lightning", "timm resnet18",
    "timm mobilenetv3_small_050", "timm efficientnet_b0", "timm convnext_atto", "timm densenet121", "timm regnetx_002",
    "timm vit_tiny", "timm mixer", "torchvision resnet18", "torchvision vgg11", "torchvision densenet121",
    "torchvision mobilenet_v2", "torchvision mobilenet_v3_small", "torchvision efficientnet_b0", "torchvision convnext_tiny",
    "torchvision shufflenet_v2_x0_5", "transformers Bert", "transformers Llama", "transformers Mistral", "transformers GPT2",
    "transformers T5", "transformers ViT", "transformers CLIP",
)  # fmt: skip
PACKAGES = {"rotary": "rotary_embedding_torch", "generate": "transformers"}


def package(name):
    first = name.split()[0]
    return PACKAGES.get(first, first)


def is_here(name):
    return bool(importlib.util.find_spec(package(name))) or (SITE != "-" and (Path(SITE) / package(name)).exists())


def answers(way, names):
    done = subprocess.run(
        [sys.executable, *way, str(PROGRAMS), SITE, *names], capture_output=True, text=True, timeout=850,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert lines, done.stderr[-2000:]
    return {row["name"]: row["result"] for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def results():
    names = [n for n in NAMES if is_here(n)]
    return answers(["-m", "jaxnn", "-q"], names), answers([], names)


def flat(tree):
    if isinstance(tree, dict):
        return [v for k in sorted(tree) for v in flat(tree[k])]
    return [v for part in tree for v in flat(part)] if isinstance(tree, list) else [tree]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_package(name, request):
    if not is_here(name):
        pytest.skip(f"{package(name)} is not installed: pip install --no-deps --target FOLDER, and JAXNN_PACKAGES=FOLDER")
    ours, theirs = (found[name] for found in request.getfixturevalue("results"))
    assert "error" not in theirs, theirs["trace"]
    assert "error" not in ours, ours["trace"]
    for key, value in theirs.items():
        np.testing.assert_allclose(flat(ours[key]), flat(value), rtol=1e-4, atol=1e-5, err_msg=key)
