"""Programs with packages written for PyTorch, run on PyTorch and by ``python -m jaxnn``; each prints what it computed as JSON.

python programs.py SITE NAME [NAME...]      SITE: a folder of packages beside the environment's, or "-"
"""

import json
import sys
import traceback

if sys.argv[1] != "-":
    sys.path.insert(0, sys.argv[1])

import torch

if "jaxnn" not in torch.__file__:  # torchvision's wheel beside a PyTorch for the CPU asks for these
    _library = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def trained(model, inputs, loss_of, seed=3):
    """Sums of the initial weights, the loss and the gradients' sums, and the losses of two steps of Adam."""
    first = [p.detach().double().abs().sum().item() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses, gradients = [], []
    for step in range(3):
        optimizer.zero_grad()
        loss = loss_of(model(**inputs) if isinstance(inputs, dict) else model(inputs))
        loss.backward()
        if step == 0:
            gradients = [p.grad.double().abs().sum().item() for p in model.parameters() if p.grad is not None]
        optimizer.step()
        losses.append(loss.item())
    return {"weights": first, "gradients": gradients, "losses": losses}


def picture(n=2, size=32):
    torch.manual_seed(1)
    return torch.randn(n, 3, size, size)


def mean(x):
    return x.square().mean()


def einops():
    from einops import rearrange, reduce
    from einops.layers.torch import Rearrange

    torch.manual_seed(0)
    model = torch.nn.Sequential(Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=8, q=8), torch.nn.Linear(192, 5))
    made = trained(model, picture(), lambda y: mean(reduce(rearrange(y, "b n d -> b d n"), "b d n -> b d", "max")))
    return made


def vit_pytorch():
    from vit_pytorch import ViT

    torch.manual_seed(0)
    model = ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=2, mlp_dim=64)
    return trained(model, picture(), mean)


def rotary():
    from rotary_embedding_torch import RotaryEmbedding

    torch.manual_seed(0)
    turn = RotaryEmbedding(dim=16)
    return trained(torch.nn.Linear(16, 16), torch.randn(1, 2, 6, 16), lambda y: mean(turn.rotate_queries_or_keys(y)[..., ::3]))


def x_transformers():
    from x_transformers import Decoder, TransformerWrapper

    torch.manual_seed(0)
    model = TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=Decoder(dim=32, depth=2, heads=2, rotary_pos_emb=True))
    return trained(model, torch.arange(20).reshape(2, 10), mean)


def safetensors():
    import tempfile

    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    with tempfile.TemporaryDirectory() as folder:
        save_file(model.state_dict(), f"{folder}/m.safetensors")
        return {k: v.tolist() for k, v in sorted(load_file(f"{folder}/m.safetensors").items())}


def timm_of(name, **options):
    import timm

    torch.manual_seed(0)
    return trained(timm.create_model(name, num_classes=10, **options).eval(), picture(2, options.get("img_size", 64)), mean)


def torchvision_of(name):
    import torchvision

    torch.manual_seed(0)
    return trained(torchvision.models.get_model(name, num_classes=10).eval(), picture(2, 64), mean)


def transformers_of(config, model, **options):
    import transformers

    torch.manual_seed(0)
    made = getattr(transformers, config)(**options)
    net = getattr(transformers, model)(made).eval()
    ids = torch.arange(2, 14).reshape(2, 6)
    inputs = {"input_ids": ids}
    if "ViT" in model:
        inputs = {"pixel_values": picture(2, 32)}
    elif "CLIP" in model:
        inputs = {"input_ids": ids, "pixel_values": picture(2, 32)}
    elif "T5" in model:
        inputs = {"input_ids": ids, "decoder_input_ids": ids}
    return trained(net, inputs, lambda out: mean(out[0]))


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 60}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 60, "n_positions": 32}


def generate():
    import transformers

    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)).eval()
    ids = torch.arange(3, 9).reshape(1, 6)
    options = {"max_new_tokens": 8, "pad_token_id": 0, "eos_token_id": None}
    return {"greedy": model.generate(ids, do_sample=False, **options).tolist(),
            "beams": model.generate(ids, do_sample=False, num_beams=3, **options).tolist()}  # fmt: skip


def peft():
    import transformers
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["c_attn"], lora_dropout=0.0, fan_in_fan_out=True)).eval()
    return trained(model, {"input_ids": torch.arange(2, 14).reshape(2, 6)}, lambda out: mean(out[0]))


def lightning():
    import logging
    import tempfile

    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seen = []

    class Net(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def training_step(self, batch, _):
            loss = mean(self.layer(batch[0]))
            seen.append(loss.item())
            return loss

        def validation_step(self, batch, _):
            self.log("val", mean(self.layer(batch[0])))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(16, 4))
    net = Net()
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder,
                            enable_model_summary=False, devices=1)  # fmt: skip
        loader = torch.utils.data.DataLoader(data, 4)
        trainer.fit(net, loader, loader)
        trainer.save_checkpoint(f"{folder}/last.ckpt")
        again = Net.load_from_checkpoint(f"{folder}/last.ckpt")
    return {"losses": seen, "val": trainer.callback_metrics["val"].item(), "weight": again.layer.weight.tolist()}


PROGRAMS = {f.__name__: f for f in (einops, vit_pytorch, rotary, x_transformers, safetensors, generate, peft, lightning)}
for _name in ("resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto", "densenet121", "regnetx_002"):
    PROGRAMS[f"timm {_name}"] = lambda name=_name: timm_of(name)
PROGRAMS["timm vit_tiny"] = lambda: timm_of("vit_tiny_patch16_224", img_size=32, depth=2)
PROGRAMS["timm mixer"] = lambda: timm_of("mixer_s32_224", img_size=64)
for _name in ("resnet18", "vgg11", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny",
              "shufflenet_v2_x0_5"):  # fmt: skip
    PROGRAMS[f"torchvision {_name}"] = lambda name=_name: torchvision_of(name)
_VISION = {**{k: v for k, v in TINY.items() if k != "vocab_size"}, "image_size": 32, "patch_size": 8}
for _short, _options in {
    "Bert": TINY, "Llama": {**TINY, "num_key_value_heads": 1}, "Mistral": {**TINY, "num_key_value_heads": 1}, "GPT2": GPT2,
    "T5": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 60},
    "ViT": _VISION,
    "CLIP": {"text_config": TINY, "vision_config": _VISION},
}.items():  # fmt: skip
    PROGRAMS[f"transformers {_short}"] = lambda s=_short, o=_options: transformers_of(f"{s}Config", f"{s}Model", **o)

if __name__ == "__main__":
    for _name in sys.argv[2:] or PROGRAMS:
        try:
            _found = PROGRAMS[_name]()
        except BaseException as error:
            inner = error
            while inner.__cause__ is not None:
                inner = inner.__cause__
            _found = {"error": f"{type(inner).__name__}: {inner}", "trace": "".join(traceback.format_exception(inner)[-6:])}
        print(json.dumps({"name": _name, "result": _found}), flush=True)
