"""A checkpoint that torchvision saved, fine-tuned where there is neither PyTorch nor torchvision."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)

PROGRAM = """
import json, os, sys
import numpy as np
WITHOUT
model = models.mobilenet_v2(width_mult=0.5, inverted_residual_setting=[[1, 8, 1, 1], [4, 16, 2, 2]], dropout=0.0)
model.load_state_dict(torch.load(os.path.join(folder, "published.pth"), weights_only=True))
for parameter in model.features.parameters():
    parameter.requires_grad = False
torch.manual_seed(1)
model.classifier[1] = nn.Linear(model.last_channel, 3)
optimizer = torch.optim.SGD(model.classifier.parameters(), lr=0.1, momentum=0.9)
data = np.load(os.path.join(folder, "data.npz"))
x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
losses = []
model.train()
for step in range(3):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval()
with torch.no_grad():
    outputs = model(x).tolist()
"""
ALONE = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import jaxnn as torch
from jaxnn import nn
from jaxnn.vision import models
folder = sys.argv[1]
"""


def test_fine_tuning(tmp_path):
    torch.manual_seed(0)
    setting = [[1, 8, 1, 1], [4, 16, 2, 2]]
    published = torchvision.models.mobilenet_v2(width_mult=0.5, inverted_residual_setting=setting)
    torch.save(published.state_dict(), tmp_path / "published.pth")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((8, 3, 32, 32)).astype("float32"), y=rng.integers(0, 3, 8))

    scope = {"torch": torch, "nn": torch.nn, "models": torchvision.models, "folder": str(tmp_path)}
    exec(PROGRAM.replace("WITHOUT", ""), scope)
    script = tmp_path / "train.py"
    script.write_text(PROGRAM.replace("WITHOUT", ALONE) + "print(json.dumps([losses, outputs]))\n")
    run = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    losses, outputs = json.loads(run.stdout)
    np.testing.assert_allclose(losses, scope["losses"], 1e-5, 1e-5)
    np.testing.assert_allclose(outputs, scope["outputs"], 1e-5, 1e-5)
