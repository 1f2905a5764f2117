"""lightning: a fit with validation, checkpoints, and a fit that goes on from one."""

import logging
import warnings

import torch
from model_row import OURS


def loaders():
    torch.manual_seed(1)
    x = torch.randn(24, 4)
    data = torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())
    return torch.utils.data.DataLoader(data, 4, shuffle=True), torch.utils.data.DataLoader(data, 8)


def network():
    import lightning as L
    import torchmetrics

    class Net(L.LightningModule):
        def __init__(self, width=8, rate=0.05):
            super().__init__()
            self.save_hyperparameters()
            self.layers = torch.nn.Sequential(torch.nn.Linear(4, width, bias=False), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.1),
                                              torch.nn.ReLU(), torch.nn.Linear(width, 2))  # fmt: skip
            self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=2)
            self.seen = []

        def training_step(self, batch, index):
            loss = torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
            self.log("train", loss, on_epoch=True)
            self.seen.append(loss.detach())
            return loss

        def validation_step(self, batch, index):
            scores = self.layers(batch[0])
            self.accuracy(scores, batch[1])
            self.log("accuracy", self.accuracy)
            self.log("validation", torch.nn.functional.cross_entropy(scores, batch[1]), prog_bar=True)

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), self.hparams.rate)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    return Net


def trainer(folder, epochs, callbacks=()):
    import lightning as L

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, gradient_clip_val=1.0, accumulate_grad_batches=2, callbacks=list(callbacks),
    )  # fmt: skip


def shown(fit, net):
    numbers = {f"metric {k}": v for k, v in fit.callback_metrics.items()}
    return numbers | {f"loss {i}": v for i, v in enumerate(net.seen)} | dict(net.layers.state_dict())


def fit(folder):
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    torch.manual_seed(0)
    net = network()()
    best = ModelCheckpoint(folder / ("second" if OURS else "first"), "best", monitor="validation", enable_version_counter=False)
    run = trainer(folder, 3, [best, EarlyStopping("validation", patience=1)])
    run.fit(net, *loaders())
    again = type(net).load_from_checkpoint(best.best_model_path)
    run.save_checkpoint(folder / ("second" if OURS else "first") / "last.ckpt")
    tested = run.validate(net, loaders()[1], verbose=False)[0]
    return (
        shown(run, net) | {f"best {k}": v for k, v in again.state_dict().items()} | {f"tested {k}": v for k, v in tested.items()}
    )


class Resumed:
    """A fit goes on from the checkpoint that PyTorch wrote, and PyTorch's from jaxnn's."""

    def __call__(self, folder, which="first"):
        torch.manual_seed(0)
        if not OURS and which == "first":
            start = trainer(folder, 1)
            start.fit(network()(), *loaders())
            start.save_checkpoint(folder / "first.ckpt")
        torch.manual_seed(3)
        net = network()()
        run = trainer(folder, 2)
        run.fit(net, *loaders(), ckpt_path=folder / f"{which}.ckpt")
        if OURS:
            start = trainer(folder, 1)
            torch.manual_seed(0)
            start.fit(network()(), *loaders())
            start.save_checkpoint(folder / "second.ckpt")
        return shown(run, net)

    def back(self, folder):
        return self(folder, "second")


ROWS = {"lightning fit": fit, "lightning resumed": Resumed()}
