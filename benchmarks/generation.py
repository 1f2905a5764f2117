"""Generation with Hugging Face's transformers: processor time a token, and what the engine compiles for it.

    python benchmarks/generation.py             PyTorch
    python -m jaxnn benchmarks/generation.py    jaxnn

``JAXNN_PACKAGES`` names the folder of wheels that CONTRIBUTING.md describes. A first call warms up; figures are of the second.
"""

import os
import sys
import time

if os.environ.get("JAXNN_PACKAGES"):
    sys.path.insert(1, os.environ["JAXNN_PACKAGES"])
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.modules.setdefault("torchvision", None)  # not needed here, and its wheel may be made for another build of PyTorch

import torch  # noqa: E402
import transformers  # noqa: E402

OURS = "jaxnn" in torch.__file__
torch.set_num_threads(1)
TOKENS = 24
SIZES = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512, "vocab_size": 2000}


def model():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()


def plain_loop(net, ids):
    """A decoding loop as people write it: the cache of the last call goes into the next."""
    cache = None
    with torch.no_grad():
        for _ in range(TOKENS):
            out = net(ids if cache is None else ids[:, -1:], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            ids = torch.cat([ids, out.logits[:, -1].argmax(-1, keepdim=True)], 1)
    return ids


def main():
    net, ids = model(), torch.arange(3, 15).reshape(1, 12)
    fixed = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "pad_token_id": 0}
    ways = {"plain loop": lambda: plain_loop(net, ids)}
    for cache in ("dynamic", "static"):
        with_cache = fixed if cache == "dynamic" else {**fixed, "cache_implementation": cache}
        ways[f"greedy, {cache}"] = lambda o=with_cache: net.generate(ids, do_sample=False, **o)
        ways[f"sampled, {cache}"] = lambda o=with_cache: net.generate(ids, do_sample=True, top_k=50, **o)
        ways[f"3 beams, {cache}"] = lambda o=with_cache: net.generate(ids, do_sample=False, num_beams=3, **o)
    for name, way in ways.items():
        way()
        if OURS:
            import jaxnn

            jaxnn.reset_engine_statistics()
        start = time.process_time()
        way()
        spent = (time.process_time() - start) / TOKENS * 1e3
        counted = ""
        if OURS:
            found = jaxnn.engine_statistics()
            kinds = ("compiled", "cache_hits", "operator_by_operator")
            counted = "  " + ", ".join(f"{kind} {found[kind]}" for kind in kinds)
        print(f"{'jaxnn' if OURS else 'torch':5} {name:16} {spent:8.2f} ms a token{counted}", flush=True)


if __name__ == "__main__":
    main()
