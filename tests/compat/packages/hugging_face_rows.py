"""transformers and peft: models with small random configurations, generation, and folders written and read by both libraries."""

import torch
from model_row import OURS, Model, called

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 60}
FEW = {**TINY, "num_key_value_heads": 1}
SEEN = {**{k: v for k, v in TINY.items() if k != "vocab_size"}, "image_size": 32, "patch_size": 8}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 60, "n_positions": 32}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 60, "decoder_start_token_id": 0}
CONFIGURATIONS = {
    "Bert": ("BertForSequenceClassification", TINY), "GPT2": ("GPT2LMHeadModel", GPT2), "Llama": ("LlamaForCausalLM", FEW),
    "Mistral": ("MistralForCausalLM", {**FEW, "sliding_window": 4}), "T5": ("T5ForConditionalGeneration", T5),
    "ViT": ("ViTForImageClassification", SEEN), "CLIP": ("CLIPModel", {"text_config": TINY, "vision_config": SEEN}),
}  # fmt: skip


def made(name, head=None):
    import transformers

    head_of, options = CONFIGURATIONS[name]
    configuration = getattr(transformers, f"{name}Config")(**options)
    return getattr(transformers, head or head_of)(configuration)


def inputs(name):
    ids = torch.randint(3, 60, (2, 7))
    pixels = torch.randn(2, 3, 32, 32)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {
        "Bert": {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1])},
        "T5": {"input_ids": ids, "attention_mask": mask, "labels": ids},
        "ViT": {"pixel_values": pixels, "labels": torch.tensor([0, 1])},
        "CLIP": {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "return_loss": True},
    }.get(name, {"input_ids": ids, "attention_mask": mask, "labels": ids})


def loss(output):
    return output["loss"]


def low_rank():
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        made("GPT2"), LoraConfig(r=4, target_modules=["c_attn"], lora_dropout=0.1, fan_in_fan_out=True, init_lora_weights=False)
    )


class Folder:
    """A folder by `save_pretrained`: what one library wrote gives the other the same model."""

    def __init__(self, name):
        self.name = name

    def output(self, model):
        torch.manual_seed(3)
        with torch.no_grad():
            return called(model.eval(), inputs(self.name))["loss"]

    def read(self, folder):
        return type(made(self.name)).from_pretrained(folder)

    def __call__(self, folder):
        torch.manual_seed(0)
        model = self.read(folder / "first") if OURS else made(self.name)
        model.save_pretrained(folder / ("second" if OURS else "first"))
        return {"loss": self.output(model)} | model.state_dict()

    def back(self, folder):
        model = self.read(folder / "second")
        return {"loss": self.output(model)} | model.state_dict()


class Adapter(Folder):
    """The same for the adapter of a model, and merging it."""

    def __init__(self):
        super().__init__("GPT2")

    def read(self, folder):
        from peft import PeftModel

        torch.manual_seed(5)
        return PeftModel.from_pretrained(made("GPT2"), folder, is_trainable=True)

    def __call__(self, folder):
        torch.manual_seed(5)
        model = self.read(folder / "first") if OURS else low_rank()
        model.save_pretrained(folder / ("second" if OURS else "first"))
        found = {"loss": self.output(model)} | {k: v for k, v in model.state_dict().items() if "lora" in k}
        return found | {"merged": self.output(model.merge_and_unload())}

    def back(self, folder):
        model = self.read(folder / "second")
        found = {"loss": self.output(model)} | {k: v for k, v in model.state_dict().items() if "lora" in k}
        return found | {"merged": self.output(model.merge_and_unload())}


def generation(name):
    def run(folder):
        torch.manual_seed(0)
        model = made(name).eval()
        if OURS:
            model.load_state_dict(torch.load(folder / "model.pt"))
        else:
            torch.save(model.state_dict(), folder / "model.pt")
        torch.manual_seed(1)
        ids = torch.randint(3, 60, (2, 5))
        options = {"max_new_tokens": 8, "pad_token_id": 0, "eos_token_id": None}
        found = {}
        for cache in (None, "static"):
            ways = options if cache is None else {**options, "cache_implementation": cache}
            found[f"greedy {cache}"] = model.generate(ids, do_sample=False, **ways)
            torch.manual_seed(2)
            found[f"sampled {cache}"] = model.generate(ids, do_sample=True, top_k=20, top_p=0.9, temperature=0.8, **ways)
            found[f"beams {cache}"] = model.generate(ids, do_sample=False, num_beams=3, num_return_sequences=2, **ways)
        rules = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 3}
        found["ruled"] = model.generate(ids, do_sample=False, **rules, **options)
        scored = model.generate(ids, output_scores=True, return_dict_in_generate=True, do_sample=False, **options)
        return found | {f"scores {i}": s for i, s in enumerate(scored.scores)}

    return run


ROWS = {
    f"transformers {name}": Model(lambda n=name: made(n), lambda n=name: inputs(n), loss, reads=True) for name in CONFIGURATIONS
}  # masks of attention are looked at: all of one value, or padded
ROWS |= {f"transformers generate {name}": generation(name) for name in ("GPT2", "Llama", "Mistral", "T5")}
ROWS |= {f"transformers folder {name}": Folder(name) for name in CONFIGURATIONS}
ROWS["peft LoRA"] = Model(low_rank, lambda: inputs("GPT2"), loss, reads=True)
ROWS["peft folder"] = Adapter()
