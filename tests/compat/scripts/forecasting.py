"""A seasonal series continued by a GRU, with ReduceLROnPlateau, packed sequences and early stopping."""

import copy
import logging
import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, random_split

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger(__name__)


@dataclass
class Config:
    window: int = 16
    hidden: int = 24
    epochs: int = 8
    lr: float = 2e-2


class Windows(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, series: Tensor, size: int) -> None:
        self.items = series.unfold(0, size + 1, 1)

    def __len__(self) -> int:
        return self.items.size(0)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.items[k, :-1], self.items[k, -1]


class Forecaster(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gru = nn.GRU(1, config.hidden, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * config.hidden)
        self.head = nn.Sequential(nn.Linear(2 * config.hidden, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x.unsqueeze(-1), lengths, batch_first=True, enforce_sorted=False)
        out, lengths = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        last = out[torch.arange(len(out)), lengths - 1]
        return self.head(self.norm(last)).squeeze(-1)


def main() -> None:
    config = Config()
    generator = torch.Generator().manual_seed(4)
    torch.manual_seed(4)
    t = torch.arange(180.0)
    series = torch.sin(t * 2 * torch.pi / 12) + 0.01 * t + 0.1 * torch.randn(180, generator=generator)
    series = (series - series.mean()) / series.std()
    train_set, valid_set = random_split(Windows(series, config.window), [0.8, 0.2], generator=generator)
    train_loader = DataLoader(train_set, batch_size=22, shuffle=True, generator=generator, drop_last=True)
    valid_loader = DataLoader(valid_set, batch_size=len(valid_set))
    model = Forecaster(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    best, kept, waited = float("inf"), None, 0
    for epoch in range(config.epochs):
        model.train()
        total = 0.0
        for x, y in train_loader:
            lengths = torch.linspace(8, config.window, len(x)).long()
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.huber_loss(model(x, lengths), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.inference_mode():
            x, y = next(iter(valid_loader))
            valid = nn.functional.mse_loss(model(x, torch.full((len(x),), config.window)), y).item()
        scheduler.step(valid)
        log.info("epoch %d train %.4f valid %.4f lr %.4g", epoch, total / len(train_loader), valid, optimizer.param_groups[0]["lr"])
        if valid < best:
            best, kept, waited = valid, copy.deepcopy(model.state_dict()), 0
        else:
            waited += 1
            if waited > 3:
                break
    model.load_state_dict(kept)
    window = series[-config.window :].clone()
    forecast = []
    with torch.no_grad():
        for _ in range(6):
            forecast.append(model(window[None], torch.tensor([config.window])).item())
            window = torch.cat([window[1:], torch.tensor(forecast[-1:])])
    log.info("forecast %s", [round(v, 3) for v in forecast])


if __name__ == "__main__":
    main()
