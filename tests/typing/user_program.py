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


def accuracy(logits: Tensor, target: Tensor) -> float:
    return (logits.argmax(dim=-1) == target).float().mean().item()


def train(net: Net, loader: DataLoader, epochs: int = 2) -> list[float]:
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
    net = Net(8, 2, 3)
    losses = train(net, DataLoader(TensorDataset(joined, y), batch_size=8, shuffle=True))
    state: dict[str, Tensor] = {k: v.detach().cpu() for k, v in net.state_dict().items()}
    torch.save(state, path)
    net.load_state_dict(torch.load(path))
    with torch.no_grad():
        rows, columns = joined.shape
        net.eval()
        print(losses[-1], accuracy(net(joined)[0], y), rows * columns, [p.numel() for p in net.parameters()])
