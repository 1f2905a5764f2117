"""torchvision and timm: eight families each, a block or two of every stage, since a program of a whole one compiles for minutes."""

import torch
from model_row import Model


def picture(count=4, size=64):
    return torch.randn(count, 3, size, size)


def torchvision_resnet():
    from torchvision.models import resnet

    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=10, groups=2, width_per_group=16, zero_init_residual=True)


def torchvision_regnet():
    from torchvision.models import regnet

    block = regnet.BlockParams.from_init_params(depth=5, w_0=16, w_a=12.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return regnet.RegNet(block, num_classes=10)


def torchvision_densenet():
    from torchvision.models import densenet

    return densenet.DenseNet(8, (2, 2, 1, 1), 16, drop_rate=0.1, num_classes=10)


def torchvision_mobilenet():
    from torchvision.models import mobilenetv3

    settings, last = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_small", width_mult=0.5)
    return mobilenetv3.MobileNetV3(settings[:5], last, num_classes=10)


def torchvision_efficientnet():
    from torchvision.models import efficientnet

    settings = [
        efficientnet.FusedMBConvConfig(2, 3, 2, 16, 16, 1),
        efficientnet.MBConvConfig(4, 3, 1, 16, 24, 2),
        efficientnet.MBConvConfig(6, 5, 2, 24, 40, 1),
    ]
    return efficientnet.EfficientNet(settings, 0.2, 0.2, num_classes=10)


def torchvision_convnext():
    from torchvision.models import convnext

    stages = [convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, 48, 2), convnext.CNBlockConfig(48, None, 1)]
    return convnext.ConvNeXt(stages, 0.1, layer_scale=0.5, num_classes=10)


def torchvision_shufflenet():
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([2, 2, 1], [16, 32, 48, 64, 96], num_classes=10)


def torchvision_swin():
    from torchvision.models import SwinTransformer
    from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

    return SwinTransformer([4, 4], 24, [2, 2], [3, 6], [4, 4], stochastic_depth_prob=0.1, num_classes=10, block=SwinTransformerBlockV2,
                           downsample_layer=PatchMergingV2)  # fmt: skip


TORCHVISION = {
    "resnet": torchvision_resnet, "regnet": torchvision_regnet, "densenet": torchvision_densenet, "mobilenet": torchvision_mobilenet,
    "efficientnet": torchvision_efficientnet, "convnext": torchvision_convnext, "shufflenet": torchvision_shufflenet,
    "swin": torchvision_swin,
}  # fmt: skip


def timm_model(name, **options):
    import timm

    return timm.create_model(name, num_classes=10, **options)


def timm_efficientnet():
    from timm.models import _efficientnet_builder as builder
    from timm.models import efficientnet

    blocks = [["ds_r1_k3_s1_e1_c16_se0.25"], ["ir_r2_k3_s2_e4_c24_se0.25"], ["er_r1_k3_s2_e4_c24_noskip"], ["cn_r1_k1_s1_c48"]]
    return efficientnet.EfficientNet(
        builder.decode_arch_def(blocks), num_classes=10, num_features=64, stem_size=16, drop_rate=0.1, drop_path_rate=0.1,
        act_layer=torch.nn.SiLU,
    )  # fmt: skip


def timm_mobilenet():
    from timm.models import _efficientnet_builder as builder
    from timm.models import mobilenetv3

    blocks = [["ds_r1_k3_s2_e1_c16_se0.25_nre"], ["ir_r2_k5_s2_e4_c24_se0.25"], ["cn_r1_k1_s1_c48"]]
    return mobilenetv3.MobileNetV3(
        builder.decode_arch_def(blocks), num_classes=10, num_features=64, stem_size=16, act_layer=torch.nn.Hardswish
    )


def timm_regnet():
    from timm.models import regnet

    return regnet.RegNet(regnet.RegNetCfg(depth=5, w0=16, wa=8.0, wm=1.5, group_size=8, se_ratio=0.25), num_classes=10)


def timm_mixer():
    from timm.models import MlpMixer

    return MlpMixer(10, 64, patch_size=16, num_blocks=2, embed_dim=32)


TIMM = {
    "resnet": lambda: timm_model("resnet18", layers=(1, 1, 1, 1), channels=(16, 24, 32, 48), drop_path_rate=0.1),
    "mobilenet": timm_mobilenet,
    "efficientnet": timm_efficientnet,
    "convnext": lambda: timm_model("convnext_atto", depths=(1, 1, 1, 1), dims=(16, 24, 32, 40)),
    "densenet": lambda: timm_model("densenet121", growth_rate=8, block_config=(2, 2, 1, 1)),
    "regnet": timm_regnet,
    "vit": lambda: timm_model("vit_tiny_patch16_224", img_size=64, depth=2, drop_rate=0.1),
    "mixer": timm_mixer,
}

ROWS = {f"torchvision {name}": Model(build, picture) for name, build in TORCHVISION.items()}
ROWS |= {f"timm {name}": Model(build, picture) for name, build in TIMM.items()}
