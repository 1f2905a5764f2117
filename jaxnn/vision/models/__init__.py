"""Models of pictures: torchvision's names, arguments, keys and initial weights, written from their papers.

    from jaxnn.vision import models
    model = models.resnet50(num_classes=10)

Each name takes ``weights=``, one of the checkpoints that torchvision publishes, and ``progress=``. The files of
torchvision's own models load with ``load_state_dict(jaxnn.load(file))``.

Args:
    weights: a checkpoint, or its name, such as "DEFAULT"; None: random weights.
    progress: whether downloading shows a bar.
    kwargs: arguments of the class that is returned, such as ``num_classes``.

Source: https://docs.pytorch.org/vision/stable/models.html
"""

from . import (
    convnext,
    densenet,
    efficientnet,
    mobilenet,
    mobilenetv2,
    mobilenetv3,
    resnet,
    squeezenet,
    swin_transformer,
    vgg,
    vision_transformer,
)
from .alexnet import (
    AlexNet,
    AlexNet_Weights,
    alexnet,
)
from .convnext import (
    ConvNeXt,
    ConvNeXt_Base_Weights,
    ConvNeXt_Large_Weights,
    ConvNeXt_Small_Weights,
    ConvNeXt_Tiny_Weights,
    convnext_base,
    convnext_large,
    convnext_small,
    convnext_tiny,
)
from .densenet import (
    DenseNet,
    DenseNet121_Weights,
    DenseNet161_Weights,
    DenseNet169_Weights,
    DenseNet201_Weights,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from .efficientnet import (
    EfficientNet,
    EfficientNet_B0_Weights,
    EfficientNet_B1_Weights,
    EfficientNet_B2_Weights,
    EfficientNet_B3_Weights,
    EfficientNet_B4_Weights,
    EfficientNet_B5_Weights,
    EfficientNet_B6_Weights,
    EfficientNet_B7_Weights,
    EfficientNet_V2_L_Weights,
    EfficientNet_V2_M_Weights,
    EfficientNet_V2_S_Weights,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
)
from .mobilenetv2 import (
    MobileNet_V2_Weights,
    MobileNetV2,
    mobilenet_v2,
)
from .mobilenetv3 import (
    MobileNet_V3_Large_Weights,
    MobileNet_V3_Small_Weights,
    MobileNetV3,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from .registry import get_model, get_model_builder, get_model_weights, get_weight, list_models
from .resnet import (
    ResNet,
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    ResNeXt50_32X4D_Weights,
    ResNeXt101_32X8D_Weights,
    ResNeXt101_64X4D_Weights,
    Wide_ResNet50_2_Weights,
    Wide_ResNet101_2_Weights,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .squeezenet import (
    SqueezeNet,
    SqueezeNet1_0_Weights,
    SqueezeNet1_1_Weights,
    squeezenet1_0,
    squeezenet1_1,
)
from .swin_transformer import (
    Swin_B_Weights,
    Swin_S_Weights,
    Swin_T_Weights,
    Swin_V2_B_Weights,
    Swin_V2_S_Weights,
    Swin_V2_T_Weights,
    SwinTransformer,
    swin_b,
    swin_s,
    swin_t,
    swin_v2_b,
    swin_v2_s,
    swin_v2_t,
)
from .vgg import (
    VGG,
    VGG11_BN_Weights,
    VGG11_Weights,
    VGG13_BN_Weights,
    VGG13_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    VGG19_BN_Weights,
    VGG19_Weights,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from .vision_transformer import (
    VisionTransformer,
    ViT_B_16_Weights,
    ViT_B_32_Weights,
    ViT_H_14_Weights,
    ViT_L_16_Weights,
    ViT_L_32_Weights,
    vit_b_16,
    vit_b_32,
    vit_h_14,
    vit_l_16,
    vit_l_32,
)
from .weights import Weights, WeightsEnum

__all__ = [
    "AlexNet", "AlexNet_Weights", "ConvNeXt", "ConvNeXt_Base_Weights", "ConvNeXt_Large_Weights",
    "ConvNeXt_Small_Weights", "ConvNeXt_Tiny_Weights", "DenseNet", "DenseNet121_Weights", "DenseNet161_Weights",
    "DenseNet169_Weights", "DenseNet201_Weights", "EfficientNet", "EfficientNet_B0_Weights",
    "EfficientNet_B1_Weights", "EfficientNet_B2_Weights", "EfficientNet_B3_Weights", "EfficientNet_B4_Weights",
    "EfficientNet_B5_Weights", "EfficientNet_B6_Weights", "EfficientNet_B7_Weights", "EfficientNet_V2_L_Weights",
    "EfficientNet_V2_M_Weights", "EfficientNet_V2_S_Weights", "MobileNetV2", "MobileNetV3", "MobileNet_V2_Weights",
    "MobileNet_V3_Large_Weights", "MobileNet_V3_Small_Weights", "ResNeXt101_32X8D_Weights",
    "ResNeXt101_64X4D_Weights", "ResNeXt50_32X4D_Weights", "ResNet", "ResNet101_Weights", "ResNet152_Weights",
    "ResNet18_Weights", "ResNet34_Weights", "ResNet50_Weights", "SqueezeNet", "SqueezeNet1_0_Weights",
    "SqueezeNet1_1_Weights", "SwinTransformer", "Swin_B_Weights", "Swin_S_Weights", "Swin_T_Weights",
    "Swin_V2_B_Weights", "Swin_V2_S_Weights", "Swin_V2_T_Weights", "VGG", "VGG11_BN_Weights", "VGG11_Weights",
    "VGG13_BN_Weights", "VGG13_Weights", "VGG16_BN_Weights", "VGG16_Weights", "VGG19_BN_Weights", "VGG19_Weights",
    "ViT_B_16_Weights", "ViT_B_32_Weights", "ViT_H_14_Weights", "ViT_L_16_Weights", "ViT_L_32_Weights",
    "VisionTransformer", "Weights", "WeightsEnum", "Wide_ResNet101_2_Weights", "Wide_ResNet50_2_Weights", "alexnet",
    "convnext", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet", "densenet121",
    "densenet161", "densenet169", "densenet201", "efficientnet", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "get_model", "get_model_builder",
    "get_model_weights", "get_weight", "list_models", "mobilenet", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "mobilenetv2", "mobilenetv3", "resnet", "resnet101", "resnet152", "resnet18", "resnet34",
    "resnet50", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "squeezenet", "squeezenet1_0",
    "squeezenet1_1", "swin_b", "swin_s", "swin_t", "swin_transformer", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg",
    "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vision_transformer",
    "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
]  # fmt: skip
