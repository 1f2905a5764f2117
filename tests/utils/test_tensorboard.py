"""TensorBoard's own reader finds in our event files what it finds in PyTorch's."""

import io
import os
import re
import subprocess
import sys
import warnings

import matplotlib.figure
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter as Theirs

import jaxnn
from jaxnn import nn
from jaxnn.utils.tensorboard import SummaryWriter as Ours

RNG = np.random.default_rng(0)
IMAGE = RNG.random((3, 6, 7)).astype(np.float32) * 1.4 - 0.2
IMAGES = RNG.random((5, 3, 6, 6)).astype(np.float32)
LABELS = np.arange(50) % 3 == 0
CHANCES = RNG.random(50).astype(np.float32)
BOXES = np.array([[1, 2, 9, 12], [3, 4, 20, 20]], np.float32)


def figure():
    made = matplotlib.figure.Figure(figsize=(1, 1))
    made.subplots().plot([1, 2])
    return made


def events(folder):
    """What the event files of a folder and its subfolders hold: (folder, step, given time, value)."""
    found = []
    for root, _, files in sorted(os.walk(folder)):
        for file in sorted(f for f in files if "tfevents" in f):
            for e in LegacyEventFileLoader(os.path.join(root, file)).Load():
                time = e.wall_time if e.wall_time == 1 else None
                found += [(os.path.relpath(root, folder), e.step, time, str(v)) for v in e.summary.value]
    return found


PROGRAMS = {
    "scalar": lambda w, t: w.add_scalar("a b/c", t(np.float32(3.5)), 4, walltime=1.0),
    "scalar of one element": lambda w, t: w.add_scalar("n", t([2]), t(np.int64(3)), 1.0),
    "scalar as tensor": lambda w, t: w.add_scalar("n", 2, 3, 1.0, new_style=True),
    "scalar as double": lambda w, t: w.add_scalar("n", 2, 3, 1.0, new_style=True, double_precision=True),
    "double alone": lambda w, t: w.add_scalar("n", 0.1, 3, 1.0, double_precision=True),
    "scalars": lambda w, t: w.add_scalars("m/x", {"a": 1, "b": t(np.float32(2))}, 3, 1.0),
    "tensor": lambda w, t: w.add_tensor("t", t(IMAGE), 1, 1.0),
    "histogram": lambda w, t: w.add_histogram("h", t(IMAGE), 1, walltime=1.0),
    "histogram auto": lambda w, t: w.add_histogram("h", t(IMAGE), 1, "auto", 1.0),
    "histogram max_bins": lambda w, t: w.add_histogram("h", t(IMAGE), 1, walltime=1.0, max_bins=20),
    "histogram_raw": lambda w, t: w.add_histogram_raw("h", 0, 2, 3, 3.0, 5.0, [1.0, 2.0], [1, 2], 1, 1.0),
    "image": lambda w, t: w.add_image("i", t(IMAGE), 1, 1.0),
    "image HWC of bytes": lambda w, t: w.add_image(
        "i", t((IMAGE.clip(0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)), 1, 1.0, "HWC"
    ),
    "image HW": lambda w, t: w.add_image("i", t(IMAGE[0]), 1, 1.0, "HW"),
    "images": lambda w, t: w.add_images("i", t(IMAGES), 1, 1.0),
    "boxes": lambda w, t: w.add_image_with_boxes(
        "i", t(np.tile(IMAGE, (1, 5, 5)).clip(0, 1)), t(BOXES), 1, 1.0, rescale=2, labels=["a", "b"]
    ),
    "text": lambda w, t: w.add_text("t", "**text**", 1, 1.0),
    "audio": lambda w, t: w.add_audio("s", t(CHANCES[None] * 2 - 1), 1, 8000, 1.0),
    "figure": lambda w, t: w.add_figure("f", figure(), 1, False, 1.0),
    "pr_curve": lambda w, t: w.add_pr_curve("p", t(LABELS), t(CHANCES), 1, 20, None, 1.0),
    "pr_curve weighted": lambda w, t: w.add_pr_curve("p", t(LABELS), t(CHANCES), 1, 20, CHANCES, 1.0),
    "pr_curve_raw": lambda w, t: w.add_pr_curve_raw("p", *[t(np.arange(5.0))] * 6, 1, 5, None, 1.0),
    "custom_scalars": lambda w, t: w.add_custom_scalars({"a": {"b": ["Multiline", ["x", "y"]], "c": ["Margin", ["1", "2", "3"]]}}),
    "multilinechart": lambda w, t: w.add_custom_scalars_multilinechart(["x", "y"]),
    "marginchart": lambda w, t: w.add_custom_scalars_marginchart(["x", "y", "z"], "c", "t"),
    "hparams": lambda w, t: w.add_hparams(
        {"lr": 0.1, "n": 3, "o": "adam", "t": t([2.0])}, {"acc": t(np.float32(0.5))},
        {"lr": [0.1, 0.2], "o": ["adam", "sgd"]}, "run", 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_events(name, tmp_path):
    for writer, tensor, folder in ((Theirs, torch.tensor, "theirs"), (Ours, jaxnn.tensor, "ours")):
        with writer(str(tmp_path / folder)) as w:
            PROGRAMS[name](w, tensor)
    assert events(tmp_path / "ours") == events(tmp_path / "theirs")


@pytest.mark.parametrize("tensor", [jaxnn.tensor, torch.tensor, np.asarray])
def test_values_of_all_libraries(tensor, tmp_path):
    with Ours(tmp_path) as w:
        w.add_scalar("a", tensor(1.5))
        w.add_scalar("a", tensor([2.5]), 1)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(s.step, s.value) for s in read.Scalars("a")] == [(0, 1.5), (1, 2.5)]


def test_bfloat16(tmp_path):
    with Ours(tmp_path) as w:
        w.add_histogram("h", jaxnn.ones(3, dtype=jaxnn.bfloat16))
        w.add_histogram("h", torch.ones(3).bfloat16(), 1)
    first, second = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload().Histograms("h")
    assert first.histogram_value == second.histogram_value


def test_video(tmp_path):
    video = RNG.random((3, 4, 3, 5, 6)).astype(np.float32)
    with Ours(tmp_path) as w:
        w.add_video("v", jaxnn.tensor(video), fps=10)
    (found,) = EventAccumulator(str(tmp_path)).Reload().Images("v")
    gif = Image.open(io.BytesIO(found.encoded_image_string))
    assert (gif.n_frames, gif.size, gif.info["duration"]) == (4, (found.width, found.height), 100)
    gif.seek(2)
    corner = np.asarray(gif.convert("RGB"))[:5, :6]
    assert np.abs(corner - video[0, 2].transpose(1, 2, 0) * 255).mean() < 10  # 256 colours


def test_embedding(tmp_path):
    images = np.round(IMAGES * 255) / 255  # whole bytes: rounding the others is each library's own
    for writer, tensor, folder in ((Theirs, torch.tensor, "theirs"), (Ours, jaxnn.tensor, "ours")):
        with writer(str(tmp_path / folder)) as w, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # tensorboardX casts the sprite's empty places
            points = tensor(IMAGES.reshape(5, -1))
            w.add_embedding(points, list("abcde"), tensor(images), 1, "t")
            w.add_embedding(points, [["a", "1"]] * 5, None, 2, "t", ["x", "y"])
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for file in ("00001/t/tensors.tsv", "00001/t/metadata.tsv", "00002/t/tensors.tsv", "00002/t/metadata.tsv"):
        assert (ours / file).read_text() == (theirs / file).read_text()
    pictures = [np.asarray(Image.open(f / "00001/t/sprite.png"), np.int16) for f in (ours, theirs)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    words = [sorted(re.findall(r"\S+", (f / "projector_config.pbtxt").read_text())) for f in (ours, theirs)]
    assert words[0] == words[1]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x):
        return nn.functional.relu(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(Block(), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, x, scale):
        x = self.features(x).flatten(1) * scale
        return self.head(x) + self.head(-x)


def test_graph(tmp_path):
    model = Net()
    with Ours(tmp_path) as w:
        w.add_graph(model, (jaxnn.ones(2, 1, 4, 4), jaxnn.ones(())))
    nodes = {n.name: n for n in EventAccumulator(str(tmp_path)).Reload().Graph().node}
    shapes = {k: [[d.size for d in s.dim] for s in n.attr["_output_shapes"].list.shape] for k, n in nodes.items()}
    block, head = "Net/Sequential[features]/Block[0]", "Net/Linear[head]"
    calls = [n for n, node in nodes.items() if node.op not in ("Parameter", "IO Node")]
    assert calls == [
        f"{block}/Conv2d[conv]/Conv2d", f"{block}/BatchNorm2d[norm]/BatchNorm2d",
        "Net/Sequential[features]/ReLU[1]/ReLU", f"{head}/Linear", f"{head}/Linear_2",
    ]  # fmt: skip
    assert {n for n, node in nodes.items() if node.op == "Parameter"} == {
        f"{block}/Conv2d[conv]/weight", f"{block}/Conv2d[conv]/bias", f"{block}/BatchNorm2d[norm]/weight",
        f"{block}/BatchNorm2d[norm]/bias", f"{head}/weight", f"{head}/bias",
    }  # fmt: skip
    assert nodes[calls[0]].input[0] == "input/input_0" and nodes[calls[1]].input[0] == calls[0]
    assert nodes[calls[2]].input[0] == calls[1] and nodes[calls[3]].input[0] == calls[2]
    assert shapes[calls[0]] == [[2, 1, 4, 4]] and shapes[calls[3]] == shapes["output/output_0"] == [[2, 3]]
    assert all(source in nodes for node in nodes.values() for source in node.input)
    assert not model.head._forward_hooks  # none is left on the model
    with Ours(tmp_path) as w, pytest.raises(TypeError, match="expected a Module"):
        w.add_graph(len, 3)


def test_mesh(tmp_path):
    with Ours(tmp_path) as w:
        w.add_mesh("m", jaxnn.rand(1, 8, 3), faces=jaxnn.zeros(1, 2, 3, dtype=jaxnn.int32), config_dict={"k": 1})
    assert len(events(tmp_path)) == 2


def test_folders_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Ours(comment="_mine", filename_suffix=".end") as w:
        w.add_scalar("a", 1, 5)
        w.flush()
        assert re.fullmatch(r"runs/\w{3}\d\d_\d\d-\d\d-\d\d_.*_mine", w.get_logdir())
    assert all(f.endswith(".end") for f in os.listdir(w.log_dir))
    w.add_scalar("a", 2, 6)  # after close: a new file
    w.close()
    w.close()
    later = Ours(w.log_dir, purge_step=6, max_queue=1, flush_secs=1)
    later.add_scalar("a", 3, 7)
    later.close()
    read = EventAccumulator(w.log_dir).Reload()
    assert [s.value for s in read.Scalars("a")] == [1, 3]


@pytest.mark.parametrize(
    "program",
    [
        lambda w, t: w.add_scalar("a", t(np.ones(2))),
        lambda w, t: w.add_hparams([], {}),
        lambda w, t: w.add_hparams({"lr": 1}, {}, {"lr": ["a"]}),
        lambda w, t: w.add_hparams({"lr": object()}, {}),
        lambda w, t: w.add_custom_scalars_marginchart(["a"]),
        lambda w, t: w.add_histogram_raw("h", 0, 2, 3, 3.0, 5.0, [1.0], [1, 2]),
    ],
)
def test_refused(program, tmp_path):
    kinds = []
    for writer, tensor, folder in ((Theirs, torch.tensor, "theirs"), (Ours, jaxnn.tensor, "ours")):
        with writer(str(tmp_path / folder)) as w, pytest.raises(Exception) as found:
            program(w, tensor)
        kinds.append(found.type)
    assert kinds[0] is kinds[1]


FULL = """
import resource, signal, sys
from jaxnn.utils.tensorboard import SummaryWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
writer = SummaryWriter(sys.argv[1], flush_secs=0, max_queue=3)
step = 0
try:
    while step < 100_000:
        writer.add_scalar("loss", 1.0, step)
        writer.add_scalars("several", {"a": 1.0}, step)
        step += 1
except OSError as error:
    print("told after", step, error.strerror)
for call in (writer.flush, writer.close):
    try:
        call()
    except OSError:
        print(call.__name__)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size stands for the full disk")
def test_a_full_disk_is_told_and_nothing_waits(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", FULL, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    told, *calls = done.stdout.splitlines()
    assert told.startswith("told after") and "events are lost" in told and calls == ["flush", "close"]
