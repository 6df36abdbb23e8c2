"""Five image classification networks as chains of named steps, in the layout of their published weights.

squeezenet   SqueezeNet 1.1, Iandola et al. 2016, https://arxiv.org/abs/1602.07360
alexnet      the one-tower version, Krizhevsky 2014, https://arxiv.org/abs/1404.5997
vgg16        Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556
googlenet    Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, with batch normalisation; 3x3 where the paper has 5x5
inception    Inception v3, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, version of 5 December 2015, on which the FID is defined

Each function returns a new chain with random weights. The names of the steps are those of the published weights.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from sfumato.nn.branches import Branches, conv_norm_relu

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIGNED: tuple[Triple, Triple] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
BYTES_SIGNED: tuple[Triple, Triple] = (128 / 255, 128 / 255, 128 / 255), (128 / 255, 128 / 255, 128 / 255)
"""The normalisation (x - 128) / 128 of byte values, for images in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A classification network without its head, and a function that builds the head."""

    steps: Mapping[str, nn.Module]
    layers: Mapping[str, str]
    """Name of each readable layer to the name of its last step; finest first."""
    default_layers: tuple[str, ...]
    """Names of the layers that are returned when the caller names none."""
    head: Callable[[int], nn.Sequential]
    """Builds the classification head for a number of classes: last maps, or their averages, to scores."""
    grid: int = 1
    """Height and width to which the last maps are averaged for the head; 0 if the head takes the maps unchanged."""
    side: int = 224
    """Height and width in pixels of the training images."""
    min_side: int
    """Shortest side in pixels of an image for which every default layer has at least one position."""
    min_side_whole: int = 0
    """Shortest side in pixels of an image that passes all steps; 0 if equal to `min_side`."""
    normalization: tuple[Triple, Triple] = IMAGENET
    """Mean that is subtracted from the channels of an image in [0, 1], and standard deviation by which they are then divided."""


def squeezenet() -> BackboneSpec:
    """SqueezeNet 1.1: 1.2 million parameters, 0.35 billion multiplications at 224 pixels. Layer names are those of the paper."""
    fires = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)}
    fires |= {9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}
    steps: dict[str, nn.Module] = {"0": nn.Conv2d(3, 64, 3, 2), "1": nn.ReLU()}
    for i in range(2, 13):
        steps[str(i)] = _fire(*fires[i]) if i in fires else nn.MaxPool2d(3, 2, ceil_mode=True)

    def head(classes: int) -> nn.Sequential:
        return nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    layers = {"conv1": "1", **{f"fire{number}": str(i) for number, i in enumerate(fires, 2)}}
    usual = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
    return BackboneSpec(steps=steps, layers=layers, default_layers=usual, head=head, grid=0, min_side=17)


def alexnet() -> BackboneSpec:
    """AlexNet: 61 million parameters, 58 million of them in the head."""
    widths, kernels, pools = (3, 64, 192, 384, 256, 256), (11, 5, 3, 3, 3), (0, 1, 4)
    steps: list[nn.Module] = []
    layers = {}
    for i, kernel in enumerate(kernels):
        first = i == 0
        steps += [nn.Conv2d(widths[i], widths[i + 1], kernel, 4 if first else 1, 2 if first else kernel // 2), nn.ReLU()]
        layers[f"relu{i + 1}"] = str(len(steps) - 1)
        steps += [nn.MaxPool2d(3, 2)] if i in pools else []

    def head(classes: int) -> nn.Sequential:
        hidden = [nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(4096, classes))

    return BackboneSpec(
        steps=_numbered(steps), layers=layers, default_layers=tuple(layers), head=head, grid=6, min_side=31, min_side_whole=63
    )


def vgg16() -> BackboneSpec:
    """VGG-16: 138 million parameters, 124 million of them in the head; 15 billion multiplications at 224 pixels."""
    steps: list[nn.Module] = []
    layers, inputs = {}, 3
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for i in range(1, depth + 1):
            steps += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU()]
            layers[f"relu{block}_{i}"] = str(len(steps) - 1)
            inputs = width
        steps.append(nn.MaxPool2d(2))

    def head(classes: int) -> nn.Sequential:
        hidden = [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
        return nn.Sequential(*hidden, nn.Linear(4096, classes))

    usual = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
    return BackboneSpec(steps=_numbered(steps), layers=layers, default_layers=usual, head=head, grid=7, min_side=16, min_side_whole=32)


def googlenet() -> BackboneSpec:
    """GoogLeNet: 6.6 million parameters, 1.5 billion multiplications at 224 pixels."""
    widths = {
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    mixed = {f"inception{name}": _mixed(*each) for name, each in widths.items()}
    steps: dict[str, nn.Module] = {
        "conv1": conv_norm_relu(3, 64, 7, stride=2),
        "maxpool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv2": conv_norm_relu(64, 64, 1),
        "conv3": conv_norm_relu(64, 192, 3),
        "maxpool2": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    for name, step in mixed.items():
        steps |= {"maxpool3": nn.MaxPool2d(3, 2, ceil_mode=True)} if name == "inception4a" else {}
        steps |= {"maxpool4": nn.MaxPool2d(2, 2, ceil_mode=True)} if name == "inception5a" else {}
        steps[name] = step
    layers = {name: name for name in ("conv1", "conv2", "conv3", *mixed)}
    usual = ("conv1", "conv3", "inception3b", "inception4e", "inception5b")
    return BackboneSpec(steps=steps, layers=layers, default_layers=usual, head=_linear(1024), min_side=15, normalization=SIGNED)


def inception() -> BackboneSpec:
    """Inception v3 of 2015: 24 million parameters, 5.7 billion multiplications at 299 pixels. Later versions pool differently."""
    steps: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": conv_norm_relu(3, 32, 3, stride=2, padded=False),
        "Conv2d_2a_3x3": conv_norm_relu(32, 32, 3, padded=False),
        "Conv2d_2b_3x3": conv_norm_relu(32, 64, 3),
        "maxpool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": conv_norm_relu(64, 80, 1),
        "Conv2d_4a_3x3": conv_norm_relu(80, 192, 3, padded=False),
        "maxpool2": nn.MaxPool2d(3, 2),
        "Mixed_5b": _fives(192, 32),
        "Mixed_5c": _fives(256, 64),
        "Mixed_5d": _fives(288, 64),
        "Mixed_6a": Branches(
            {"branch3x3": conv_norm_relu(288, 384, 3, stride=2, padded=False)},
            {
                "branch3x3dbl_1": conv_norm_relu(288, 64, 1),
                "branch3x3dbl_2": conv_norm_relu(64, 96, 3),
                "branch3x3dbl_3": conv_norm_relu(96, 96, 3, stride=2, padded=False),
            },
            {"pool": nn.MaxPool2d(3, 2)},
        ),
        **{f"Mixed_6{name}": _sevens(width) for name, width in zip("bcde", (128, 160, 160, 192), strict=True)},
        "Mixed_7a": Branches(
            {"branch3x3_1": conv_norm_relu(768, 192, 1), "branch3x3_2": conv_norm_relu(192, 320, 3, stride=2, padded=False)},
            {
                "branch7x7x3_1": conv_norm_relu(768, 192, 1),
                "branch7x7x3_2": conv_norm_relu(192, 192, (1, 7)),
                "branch7x7x3_3": conv_norm_relu(192, 192, (7, 1)),
                "branch7x7x3_4": conv_norm_relu(192, 192, 3, stride=2, padded=False),
            },
            {"pool": nn.MaxPool2d(3, 2)},
        ),
        "Mixed_7b": _threes(1280, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        "Mixed_7c": _threes(2048, nn.MaxPool2d(3, 1, 1)),
    }
    layers = {name: name for name in steps if "maxpool" not in name}
    usual = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_6e", "Mixed_7c")
    return BackboneSpec(
        steps=steps, layers=layers, default_layers=usual, head=_linear(2048), side=299, min_side=75, normalization=BYTES_SIGNED
    )


BACKBONES: dict[str, Callable[[], BackboneSpec]] = {f.__name__: f for f in (squeezenet, alexnet, vgg16, googlenet, inception)}


def _numbered(steps: list[nn.Module]) -> dict[str, nn.Module]:
    return {str(i): step for i, step in enumerate(steps)}


def _linear(width: int) -> Callable[[int], nn.Sequential]:
    return lambda classes: nn.Sequential(OrderedDict(fc=nn.Linear(width, classes)))


def _fire(inputs: int, squeezed: int, expanded: int) -> Branches:
    start: dict[str, nn.Module] = {"squeeze": nn.Conv2d(inputs, squeezed, 1), "squeeze_activation": nn.ReLU()}
    ends = [{f"expand{k}x{k}": nn.Conv2d(squeezed, expanded, k, padding=k // 2), f"expand{k}x{k}_activation": nn.ReLU()} for k in (1, 3)]
    return Branches(*({**start, **end} for end in ends))


def _mixed(inputs: int, one: int, before: int, three: int, before_second: int, second: int, pooled: int) -> Branches:
    """A block of GoogLeNet. The second 3x3 branch is the 5x5 branch of the paper."""
    return Branches(
        {"branch1": conv_norm_relu(inputs, one, 1)},
        {"branch2": nn.Sequential(conv_norm_relu(inputs, before, 1), conv_norm_relu(before, three, 3))},
        {"branch3": nn.Sequential(conv_norm_relu(inputs, before_second, 1), conv_norm_relu(before_second, second, 3))},
        {"branch4": nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_norm_relu(inputs, pooled, 1))},
    )


def _fives(inputs: int, pooled: int) -> Branches:
    """A block of Inception v3 for maps of 35 x 35 pixels."""
    return Branches(
        {"branch1x1": conv_norm_relu(inputs, 64, 1)},
        {"branch5x5_1": conv_norm_relu(inputs, 48, 1), "branch5x5_2": conv_norm_relu(48, 64, 5)},
        {
            "branch3x3dbl_1": conv_norm_relu(inputs, 64, 1),
            "branch3x3dbl_2": conv_norm_relu(64, 96, 3),
            "branch3x3dbl_3": conv_norm_relu(96, 96, 3),
        },
        {"pool": nn.AvgPool2d(3, 1, 1, count_include_pad=False), "branch_pool": conv_norm_relu(inputs, pooled, 1)},
    )


def _sevens(width: int) -> Branches:
    """A block of Inception v3 for maps of 17 x 17 pixels."""
    lying, standing = (1, 7), (7, 1)
    return Branches(
        {"branch1x1": conv_norm_relu(768, 192, 1)},
        {
            "branch7x7_1": conv_norm_relu(768, width, 1),
            "branch7x7_2": conv_norm_relu(width, width, lying),
            "branch7x7_3": conv_norm_relu(width, 192, standing),
        },
        {
            "branch7x7dbl_1": conv_norm_relu(768, width, 1),
            "branch7x7dbl_2": conv_norm_relu(width, width, standing),
            "branch7x7dbl_3": conv_norm_relu(width, width, lying),
            "branch7x7dbl_4": conv_norm_relu(width, width, standing),
            "branch7x7dbl_5": conv_norm_relu(width, 192, lying),
        },
        {"pool": nn.AvgPool2d(3, 1, 1, count_include_pad=False), "branch_pool": conv_norm_relu(768, 192, 1)},
    )


def _threes(inputs: int, pool: nn.Module) -> Branches:
    """A block of Inception v3 for maps of 8 x 8 pixels; two branches fork before their last step."""
    lying, standing = (1, 3), (3, 1)
    second: dict[str, nn.Module] = {"branch3x3_1": conv_norm_relu(inputs, 384, 1)}
    third: dict[str, nn.Module] = {"branch3x3dbl_1": conv_norm_relu(inputs, 448, 1), "branch3x3dbl_2": conv_norm_relu(448, 384, 3)}
    return Branches(
        {"branch1x1": conv_norm_relu(inputs, 320, 1)},
        {**second, "branch3x3_2a": conv_norm_relu(384, 384, lying)},
        {**second, "branch3x3_2b": conv_norm_relu(384, 384, standing)},
        {**third, "branch3x3dbl_3a": conv_norm_relu(384, 384, lying)},
        {**third, "branch3x3dbl_3b": conv_norm_relu(384, 384, standing)},
        {"pool": pool, "branch_pool": conv_norm_relu(inputs, 192, 1)},
    )
