"""torchvision and timm: eight families each."""

import torch
from model_row import Model

PICTURES = {
    "torchvision": ("resnet18", "regnet_y_400mf", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny",
                    "shufflenet_v2_x0_5", "swin_t"),
    "timm": ("resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto", "densenet121", "regnetx_002"),
}  # fmt: skip


def picture(count=4, size=64):
    return torch.randn(count, 3, size, size)


def torchvision_model(name):
    import torchvision

    return torchvision.models.get_model(name, num_classes=10)


def timm_model(name, **options):
    import timm

    return timm.create_model(name, num_classes=10, **options)


ROWS = {f"torchvision {n}": Model(lambda n=n: torchvision_model(n), picture) for n in PICTURES["torchvision"]}
ROWS |= {f"timm {n}": Model(lambda n=n: timm_model(n), picture) for n in PICTURES["timm"]}
ROWS["timm vit"] = Model(
    lambda: timm_model("vit_tiny_patch16_224", img_size=32, depth=2, drop_rate=0.1), lambda: picture(size=32)
)
ROWS["timm mixer"] = Model(lambda: timm_model("mixer_s32_224", img_size=64), picture)
