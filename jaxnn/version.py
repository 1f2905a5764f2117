"""What ``torch.version`` tells: there is no CUDA toolkit of PyTorch's own here."""

from __future__ import annotations

__version__ = "0.1.0"
debug = False
cuda: str | None = None
cudnn: int | None = None
hip: str | None = None
xpu: str | None = None
git_version = "unknown"
