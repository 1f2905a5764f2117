"""A small model of each family, made alike by either library: ``make(models, nn)``, and the pictures it takes."""

from functools import partial
from importlib import import_module


def part(models, name):
    """A file of the package, also where a function has its name."""
    return import_module(f"{models.__name__}.{name}")


def basic_resnet(models, nn):
    return models.ResNet(part(models, "resnet").BasicBlock, [1, 1, 1, 1], num_classes=5, zero_init_residual=True)


def resnext(models, nn):
    return models.ResNet(
        part(models, "resnet").Bottleneck, [1, 1, 2, 1], num_classes=5, groups=4, width_per_group=2,
        zero_init_residual=True, replace_stride_with_dilation=[False, True, False], norm_layer=partial(nn.GroupNorm, 4),
    )  # fmt: skip


def vgg(models, nn):
    features = part(models, "vgg").make_layers([4, "M", 6, "M", 512, "M"], batch_norm=True)
    return models.VGG(features, num_classes=5)


def dense(models, nn):
    return models.DenseNet(4, (2, 2), 8, bn_size=2, drop_rate=0.3, num_classes=5)


def dense_again(models, nn):
    return models.DenseNet(4, (2,), 8, bn_size=2, num_classes=5, memory_efficient=True)


def mobile_v2(models, nn):
    setting = [[1, 8, 1, 1], [4, 16, 2, 2]]
    return models.MobileNetV2(num_classes=5, width_mult=0.3, inverted_residual_setting=setting)


def mobile_v3(models, nn):
    config = part(models, "mobilenetv3").InvertedResidualConfig
    rows = [(16, 3, 16, 16, True, "RE", 2, 1, 0.5), (16, 5, 40, 16, False, "HS", 1, 2, 0.5)]
    return models.MobileNetV3([config(*row) for row in rows], 32, num_classes=5)


def efficient(models, nn):
    file = part(models, "efficientnet")
    stages = [
        file.FusedMBConvConfig(1, 3, 1, 8, 8, 1), file.FusedMBConvConfig(2, 3, 2, 8, 8, 1),
        file.MBConvConfig(2, 5, 1, 8, 8, 1, width_mult=1.1, depth_mult=1.5),
    ]  # fmt: skip
    return models.EfficientNet(stages, 0.3, stochastic_depth_prob=0.6, num_classes=5, last_channel=32)


def conv_next(models, nn):
    config = part(models, "convnext").CNBlockConfig
    return models.ConvNeXt([config(8, 16, 2), config(16, None, 1)], 0.6, layer_scale=0.5, num_classes=5)


def vit(models, nn):
    return models.VisionTransformer(32, 8, 1, 2, 16, 24, 0.1, 0.2, num_classes=5)


def vit_with_stem(models, nn):
    config = part(models, "vision_transformer").ConvStemConfig
    stem = [config(6, 3, 2), config(8, 3, 4, activation_layer=nn.Hardswish)]
    return models.VisionTransformer(
        32, 8, 1, 2, 16, 24, num_classes=5, representation_size=12, conv_stem_configs=stem
    )  # fmt: skip


def swin(models, nn):
    return models.SwinTransformer(
        [4, 4], 8, [2, 2], [2, 4], [4, 3], dropout=0.1, attention_dropout=0.1, stochastic_depth_prob=0.5, num_classes=5
    )


def swin_v2(models, nn):
    file = part(models, "swin_transformer")
    return models.SwinTransformer(
        [4, 4], 8, [2, 1], [2, 4], [3, 4], num_classes=5, block=file.SwinTransformerBlockV2,
        downsample_layer=file.PatchMergingV2,
    )  # fmt: skip


def alexnet(models, nn):
    return models.AlexNet(num_classes=5)


def squeeze_1_0(models, nn):
    return models.SqueezeNet("1_0", num_classes=5)


def squeeze_1_1(models, nn):
    return models.SqueezeNet("1_1", num_classes=5)


#: Each family, and the shape of its pictures.
CASES = {
    alexnet: (2, 3, 64, 64),
    squeeze_1_0: (2, 3, 32, 32),
    squeeze_1_1: (2, 3, 32, 32),
    vgg: (2, 3, 16, 16),
    basic_resnet: (2, 3, 32, 32),
    resnext: (2, 3, 32, 32),
    dense: (2, 3, 32, 32),
    dense_again: (2, 3, 32, 32),
    mobile_v2: (2, 3, 32, 32),
    mobile_v3: (2, 3, 32, 32),
    efficient: (4, 3, 32, 32),
    conv_next: (4, 3, 32, 32),
    vit: (2, 3, 32, 32),
    vit_with_stem: (2, 3, 32, 32),
    swin: (4, 3, 36, 30),
    swin_v2: (2, 3, 36, 30),
}


def narrow(nn, monkeypatch):
    """Linear layers of 4096 values become ones of 12, for the families that have them."""
    wide = nn.Linear

    class Linear(wide):
        def __init__(self, in_features, out_features, *args, **kwargs):
            sizes = (12 if size == 4096 else size for size in (in_features, out_features))
            super().__init__(*sizes, *args, **kwargs)

    monkeypatch.setattr(nn, "Linear", Linear)


#: Other members of a family, whose outputs and gradients take a while.
SLOW = {squeeze_1_0, squeeze_1_1, resnext, dense_again}
