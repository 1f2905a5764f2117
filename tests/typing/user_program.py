"""A user's program, for type checkers: a module of one's own, a loop, indexing, operators, optimizers, state_dict."""

from pathlib import Path

import jaxnn as torch
import jaxnn.nn.functional as F
from jaxnn import Tensor, nn
from jaxnn.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    def __init__(self, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.lin = nn.Linear(width, width, bias=False)
        self.drop = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(F.gelu(self.lin(self.norm(x)))) * self.scale


class Net(nn.Module):
    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.head = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, classes))

    def forward(self, x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x)
        return self.head(x) * scale, x


class Reader(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.lstm = nn.LSTM(width, 8, batch_first=True, bidirectional=True)
        self.cell = nn.GRUCell(16, 8)
        self.weights = nn.ModuleDict({"out": nn.Linear(8, 2)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(1, 2)
        out, (hidden, _) = self.lstm(x)
        values, places = out.max(dim=1)
        self.note(values.shape, places.dtype)
        state = self.cell(values + hidden.sum() * 0)
        return self.head(state)

    def head(self, x: Tensor) -> Tensor:
        best = torch.topk(F.linear(x, self.cell.weight_hh[:8]), k=8).values
        return F.softmax(F.relu(best) @ x.T, dim=-1)

    def note(self, shape: torch.Size, kind: torch.dtype) -> None:
        print(len(shape), kind)


def read(reader: Reader, x: Tensor) -> Tensor:
    decayed = [p for n, p in reader.named_parameters() if n.endswith("weight")]
    rest = [p for n, p in reader.named_parameters() if not n.endswith("weight")]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 1e-2}, {"params": rest}], lr=0.1, momentum=0.9)
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    layer: nn.Module = reader.conv[0]
    print(layer, list(reader.conv), list(reader.weights.keys()))
    optimizer.load_state_dict(optimizer.state_dict())
    found, where = F.max_pool2d(x, 2, return_indices=True)
    print(found.shape, where.dtype, x.size(), x.size(0), x.type(), x.float().type(torch.float64).dtype)
    return reader(x)


def accuracy(logits: Tensor, target: Tensor) -> float:
    return (logits.argmax(dim=-1) == target).float().mean().item()


def train(net: Net, loader: DataLoader[tuple[Tensor, ...]], epochs: int = 2) -> list[float]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses: list[float] = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            logits, hidden = net(x, scale=0.5)
            loss = criterion(logits, y) + 1e-4 * hidden.pow(2).sum(dim=1).mean() - 0 * hidden[:, 0, None].max()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


def main(path: Path) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    mask = (x[:, 0] > 0) & ~(x[..., -1] < -1)
    x[mask] = 0.0
    halves = x.split(16)
    joined = torch.cat([halves[0], halves[1]], dim=0).to(torch.float32).reshape(32, -1)
    print(read(Reader(4), torch.randn(2, 1, 8, 8)).shape)
    net = Net(8, 2, 3)
    losses = train(net, DataLoader(TensorDataset(joined, y), batch_size=8, shuffle=True))
    state: dict[str, Tensor] = {k: v.detach().cpu() for k, v in net.state_dict().items()}
    torch.save(state, path)
    net.load_state_dict(torch.load(path))
    with torch.no_grad():
        rows, columns = joined.shape
        net.eval()
        print(losses[-1], accuracy(net(joined)[0], y), rows * columns, [p.numel() for p in net.parameters()])
