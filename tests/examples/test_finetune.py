"""The fine-tuning example: the backbone comes from a file that PyTorch wrote, and stays as it is."""

import torch

from tests.examples.programs import printed, start

nn = torch.nn


def backbone():
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
    )  # fmt: skip


def weights(path):
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("features", backbone())
    model.add_module("classifier", nn.Sequential(nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10)))
    torch.save(model.state_dict(), path)
    return model.features.state_dict()


def test_the_head_learns_on_a_frozen_backbone(tmp_path):
    given = weights(tmp_path / "model.pt")
    lines = printed("finetune", "--weights", tmp_path / "model.pt", "--epochs", 2, "--out", tmp_path / "out")
    assert lines[0] == "training 3138 of 16386 numbers"
    assert lines[1] == "the convolutions are as they were"
    assert float(lines[2].rpartition(": ")[2]) > 0.7  # chance is 0.5
    written = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    for key, value in given.items():
        assert torch.equal(written[f"features.{key}"], value)
    assert written["classifier.1.weight"].shape == (2, 1568)


def test_thawed_everything_moves(tmp_path):
    given = weights(tmp_path / "model.pt")
    lines = printed("finetune", "--weights", tmp_path / "model.pt", "--epochs", 1, "--thaw", 1, "--out", tmp_path)
    assert lines[-2].startswith("test accuracy after training everything")
    written = torch.load(tmp_path / "model.pt", weights_only=True)
    assert not any(torch.equal(written[f"features.{key}"], value) for key, value in given.items())


def test_other_files_are_refused(tmp_path):
    result = start("finetune", "--weights", tmp_path / "none.pt")
    assert result.returncode == 2 and "run examples/train_cnn.py first" in result.stderr
    torch.save({"features.0.weight": torch.zeros(16, 1, 5, 5)}, tmp_path / "other.pt")
    result = start("finetune", "--weights", tmp_path / "other.pt")
    assert result.returncode != 0 and "features.0.bias" in result.stderr
