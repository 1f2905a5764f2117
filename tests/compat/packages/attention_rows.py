"""Small packages of layers: vit-pytorch, x-transformers, einops, rotary-embedding-torch, safetensors."""

import torch
from model_row import Model


def vit_pytorch():
    from vit_pytorch import ViT

    return ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=2, mlp_dim=64, dropout=0.1, emb_dropout=0.1)


def vit_pytorch_distilled():
    from vit_pytorch.cct import CCT

    return CCT(img_size=32, embedding_dim=32, n_conv_layers=2, kernel_size=7, stride=2, padding=3, pooling_kernel_size=3,
               pooling_stride=2, pooling_padding=1, num_layers=2, num_heads=2, mlp_ratio=2.0, num_classes=10,
               positional_embedding="learnable")  # fmt: skip


def decoder():
    from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=2, rotary_pos_emb=True, ff_glu=True, attn_dropout=0.1)
    return AutoregressiveWrapper(TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers))


def encoder():
    from x_transformers import Encoder, TransformerWrapper

    layers = Encoder(dim=32, depth=2, heads=2, alibi_pos_bias=True, use_rmsnorm=True)
    return TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers)


def einops_layers():
    from einops.layers.torch import EinMix, Rearrange, Reduce

    return torch.nn.Sequential(
        Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=8, q=8), torch.nn.Linear(192, 12),
        EinMix("b n (g c) -> b n (g d)", weight_shape="g c d", bias_shape="g d", g=3, c=4, d=5), Reduce("b n d -> b d", "max"),
    )  # fmt: skip


def einops_functions(folder):
    from einops import einsum, pack, rearrange, reduce, repeat, unpack

    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 4, 6, requires_grad=True), torch.randn(2, 5, requires_grad=True)
    packed, shapes = pack([rearrange(x, "b c h w -> b (c h w)"), y], "b *")
    parts = unpack(packed, shapes, "b *")
    made = [
        packed, *parts, reduce(x, "b c (h k) (w l) -> b c h w", "mean", k=2, l=3), repeat(y, "b d -> b d r", r=3),
        einsum(x, y, "b c h w, b d -> b c d"), reduce(x, "b c h w -> c", "prod"),
    ]  # fmt: skip
    sum(m.sin().sum() for m in made).backward()
    return {f"result {i}": v for i, v in enumerate(made)} | {"gradient x": x.grad, "gradient y": y.grad}


class Turned(torch.nn.Module):
    """Attention over queries and keys that were turned."""

    def __init__(self, **options):
        super().__init__()
        from rotary_embedding_torch import RotaryEmbedding

        self.turn = RotaryEmbedding(dim=16, **options)
        self.project = torch.nn.Linear(16, 48)

    def forward(self, x):
        q, k, v = self.project(x).chunk(3, -1)
        if self.turn.use_xpos:
            q, k = self.turn.rotate_queries_and_keys(q, k)
        else:
            q, k = self.turn.rotate_queries_or_keys(q), self.turn.rotate_queries_or_keys(k)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)


def axial(folder):
    from rotary_embedding_torch import RotaryEmbedding, apply_rotary_emb

    torch.manual_seed(0)
    turn = RotaryEmbedding(dim=16, freqs_for="pixel", max_freq=10)
    freqs = turn.get_axial_freqs(4, 5)
    x = torch.randn(1, 4, 5, 64, requires_grad=True)
    y = apply_rotary_emb(freqs, x)
    y.square().sum().backward()
    return {"frequencies": freqs, "turned": y, "gradient": x.grad}


class Files:
    """Weights in safetensors: written by each library, read by the other."""

    def __call__(self, folder):
        from model_row import OURS
        from safetensors.torch import load, load_file, load_model, save, save_file, save_model

        torch.manual_seed(0)
        model = self._tied()
        half = {"half": torch.randn(3).half(), "brain": torch.randn(3).bfloat16(), "whole": torch.arange(5), "one": torch.tensor(1.5)}
        if OURS:
            load_model(model, folder / "first_model.safetensors")
            half = load_file(folder / "first.safetensors")
        which = "second" if OURS else "first"
        save_model(model, str(folder / f"{which}_model.safetensors"))
        save_file(half, folder / f"{which}.safetensors", metadata={"format": "pt"})
        found = load(save({"a": torch.ones(2, 3)})) | half | model.state_dict()
        return found

    def back(self, folder):
        from safetensors.torch import load, load_file, load_model, save

        model = self._tied()
        load_model(model, folder / "second_model.safetensors")
        return load(save({"a": torch.ones(2, 3)})) | load_file(folder / "second.safetensors") | model.state_dict()

    def _tied(self):
        model = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 7, bias=False))
        model[1].weight = model[0].weight
        return model


def picture():
    return torch.randn(3, 3, 32, 32)


def ids():
    return torch.randint(0, 50, (2, 12))


ROWS = {
    "vit_pytorch ViT": Model(vit_pytorch, picture),
    "vit_pytorch CCT": Model(vit_pytorch_distilled, picture),
    "x_transformers decoder": Model(decoder, ids),
    "x_transformers encoder": Model(encoder, ids),
    "einops layers": Model(einops_layers, picture),
    "einops functions": einops_functions,
    "rotary_embedding_torch attention": Model(Turned, lambda: torch.randn(2, 2, 6, 16)),
    "rotary_embedding_torch xpos": Model(lambda: Turned(use_xpos=True), lambda: torch.randn(2, 2, 6, 16)),
    "rotary_embedding_torch axial": axial,
    "safetensors files": Files(),
}
