"""Five networks for photographs as chains of named steps, as their published weights want them.

squeezenet   SqueezeNet 1.1, Iandola et al. 2016, https://arxiv.org/abs/1602.07360
alexnet      the one-tower version, Krizhevsky 2014, https://arxiv.org/abs/1404.5997
vgg16        Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556
googlenet    Szegedy et al. 2015, https://arxiv.org/abs/1409.4842, with batch normalisation; 3x3 where the paper has 5x5
inception    Inception v3, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, as it was of 5 December 2015: what the FID is defined on

A chain is made anew at every call. Steps are numbered, or named, as the weights of the field are.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from sfumato.nn.branches import Branches, unit

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIGNED: tuple[Triple, Triple] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
BYTES_SIGNED: tuple[Triple, Triple] = (128 / 255, 128 / 255, 128 / 255), (128 / 255, 128 / 255, 128 / 255)
"""(x - 128) / 128 on bytes."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A network without its last layers, and how to add them."""

    steps: Mapping[str, nn.Module]
    layers: Mapping[str, str]
    """Name of every layer that can be asked for, and of the step that it ends with; finest first."""
    usual: tuple[str, ...]
    """The layers that are looked at if nobody names others."""
    head: Callable[[int], nn.Sequential]
    """From a number of classes, what turns the last maps, or their averages, into scores."""
    grid: int = 1
    """The head takes averages over so many places either way; 0 if it takes the maps as they are."""
    side: int = 224
    """Height and width of the images that it was trained on."""
    least: int
    """The smallest side of an image of which there is a place in every usual layer."""
    least_whole: int = 0
    """The smallest side of an image that can go through all steps, if that is another."""
    levels: tuple[Triple, Triple] = IMAGENET
    """What is subtracted from the channels of an image in [0, 1], and what they are then divided by."""


def squeezenet() -> Trunk:
    """1.2 million parameters, 0.35 billion multiplications at 224 pixels. Its layers are called as in the paper."""
    fires = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)}
    fires |= {9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}
    steps: dict[str, nn.Module] = {"0": nn.Conv2d(3, 64, 3, 2), "1": nn.ReLU()}
    for i in range(2, 13):
        steps[str(i)] = _fire(*fires[i]) if i in fires else nn.MaxPool2d(3, 2, ceil_mode=True)

    def head(classes: int) -> nn.Sequential:
        return nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    layers = {"conv1": "1", **{f"fire{number}": str(i) for number, i in enumerate(fires, 2)}}
    usual = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
    return Trunk(steps=steps, layers=layers, usual=usual, head=head, grid=0, least=17)


def alexnet() -> Trunk:
    """61 million parameters, 58 of them in the head."""
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

    return Trunk(steps=_numbered(steps), layers=layers, usual=tuple(layers), head=head, grid=6, least=31, least_whole=63)


def vgg16() -> Trunk:
    """138 million parameters, 124 of them in the head; 15 billion multiplications at 224 pixels."""
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
    return Trunk(steps=_numbered(steps), layers=layers, usual=usual, head=head, grid=7, least=16, least_whole=32)


def googlenet() -> Trunk:
    """6.6 million parameters, 1.5 billion multiplications at 224 pixels."""
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
        "conv1": unit(3, 64, 7, stride=2),
        "maxpool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv2": unit(64, 64, 1),
        "conv3": unit(64, 192, 3),
        "maxpool2": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    for name, step in mixed.items():
        steps |= {"maxpool3": nn.MaxPool2d(3, 2, ceil_mode=True)} if name == "inception4a" else {}
        steps |= {"maxpool4": nn.MaxPool2d(2, 2, ceil_mode=True)} if name == "inception5a" else {}
        steps[name] = step
    layers = {name: name for name in ("conv1", "conv2", "conv3", *mixed)}
    usual = ("conv1", "conv3", "inception3b", "inception4e", "inception5b")
    return Trunk(steps=steps, layers=layers, usual=usual, head=_linear(1024), least=15, levels=SIGNED)


def inception() -> Trunk:
    """24 million parameters, 5.7 billion multiplications at 299 pixels. Differs from later ones in how its blocks pool."""
    steps: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": unit(3, 32, 3, stride=2, padded=False),
        "Conv2d_2a_3x3": unit(32, 32, 3, padded=False),
        "Conv2d_2b_3x3": unit(32, 64, 3),
        "maxpool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": unit(64, 80, 1),
        "Conv2d_4a_3x3": unit(80, 192, 3, padded=False),
        "maxpool2": nn.MaxPool2d(3, 2),
        "Mixed_5b": _fives(192, 32),
        "Mixed_5c": _fives(256, 64),
        "Mixed_5d": _fives(288, 64),
        "Mixed_6a": Branches(
            {"branch3x3": unit(288, 384, 3, stride=2, padded=False)},
            {
                "branch3x3dbl_1": unit(288, 64, 1),
                "branch3x3dbl_2": unit(64, 96, 3),
                "branch3x3dbl_3": unit(96, 96, 3, stride=2, padded=False),
            },
            {"pool": nn.MaxPool2d(3, 2)},
        ),
        **{f"Mixed_6{name}": _sevens(width) for name, width in zip("bcde", (128, 160, 160, 192), strict=True)},
        "Mixed_7a": Branches(
            {"branch3x3_1": unit(768, 192, 1), "branch3x3_2": unit(192, 320, 3, stride=2, padded=False)},
            {
                "branch7x7x3_1": unit(768, 192, 1),
                "branch7x7x3_2": unit(192, 192, (1, 7)),
                "branch7x7x3_3": unit(192, 192, (7, 1)),
                "branch7x7x3_4": unit(192, 192, 3, stride=2, padded=False),
            },
            {"pool": nn.MaxPool2d(3, 2)},
        ),
        "Mixed_7b": _threes(1280, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        "Mixed_7c": _threes(2048, nn.MaxPool2d(3, 1, 1)),
    }
    layers = {name: name for name in steps if not name.startswith("maxpool")}
    usual = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_6e", "Mixed_7c")
    return Trunk(steps=steps, layers=layers, usual=usual, head=_linear(2048), side=299, least=75, levels=BYTES_SIGNED)


TRUNKS: dict[str, Callable[[], Trunk]] = {f.__name__: f for f in (squeezenet, alexnet, vgg16, googlenet, inception)}


def _numbered(steps: list[nn.Module]) -> dict[str, nn.Module]:
    return {str(i): step for i, step in enumerate(steps)}


def _linear(width: int) -> Callable[[int], nn.Sequential]:
    return lambda classes: nn.Sequential(OrderedDict(fc=nn.Linear(width, classes)))


def _fire(inputs: int, squeezed: int, expanded: int) -> Branches:
    start: dict[str, nn.Module] = {"squeeze": nn.Conv2d(inputs, squeezed, 1), "squeeze_activation": nn.ReLU()}
    ends = [{f"expand{k}x{k}": nn.Conv2d(squeezed, expanded, k, padding=k // 2), f"expand{k}x{k}_activation": nn.ReLU()} for k in (1, 3)]
    return Branches(*({**start, **end} for end in ends))


def _mixed(inputs: int, one: int, before: int, three: int, before_second: int, second: int, pooled: int) -> Branches:
    """A block of GoogLeNet. The second of its 3x3 branches is the one that the paper has as 5x5."""
    return Branches(
        {"branch1": unit(inputs, one, 1)},
        {"branch2": nn.Sequential(unit(inputs, before, 1), unit(before, three, 3))},
        {"branch3": nn.Sequential(unit(inputs, before_second, 1), unit(before_second, second, 3))},
        {"branch4": nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(inputs, pooled, 1))},
    )


def _fives(inputs: int, pooled: int) -> Branches:
    """A block of Inception v3 for maps of 35 x 35."""
    return Branches(
        {"branch1x1": unit(inputs, 64, 1)},
        {"branch5x5_1": unit(inputs, 48, 1), "branch5x5_2": unit(48, 64, 5)},
        {"branch3x3dbl_1": unit(inputs, 64, 1), "branch3x3dbl_2": unit(64, 96, 3), "branch3x3dbl_3": unit(96, 96, 3)},
        {"pool": nn.AvgPool2d(3, 1, 1, count_include_pad=False), "branch_pool": unit(inputs, pooled, 1)},
    )


def _sevens(width: int) -> Branches:
    """A block for maps of 17 x 17."""
    lying, standing = (1, 7), (7, 1)
    return Branches(
        {"branch1x1": unit(768, 192, 1)},
        {"branch7x7_1": unit(768, width, 1), "branch7x7_2": unit(width, width, lying), "branch7x7_3": unit(width, 192, standing)},
        {
            "branch7x7dbl_1": unit(768, width, 1),
            "branch7x7dbl_2": unit(width, width, standing),
            "branch7x7dbl_3": unit(width, width, lying),
            "branch7x7dbl_4": unit(width, width, standing),
            "branch7x7dbl_5": unit(width, 192, lying),
        },
        {"pool": nn.AvgPool2d(3, 1, 1, count_include_pad=False), "branch_pool": unit(768, 192, 1)},
    )


def _threes(inputs: int, pool: nn.Module) -> Branches:
    """A block for maps of 8 x 8, whose branches fork at their ends."""
    lying, standing = (1, 3), (3, 1)
    second: dict[str, nn.Module] = {"branch3x3_1": unit(inputs, 384, 1)}
    third: dict[str, nn.Module] = {"branch3x3dbl_1": unit(inputs, 448, 1), "branch3x3dbl_2": unit(448, 384, 3)}
    return Branches(
        {"branch1x1": unit(inputs, 320, 1)},
        {**second, "branch3x3_2a": unit(384, 384, lying)},
        {**second, "branch3x3_2b": unit(384, 384, standing)},
        {**third, "branch3x3dbl_3a": unit(384, 384, lying)},
        {**third, "branch3x3dbl_3b": unit(384, 384, standing)},
        {"pool": pool, "branch_pool": unit(inputs, 192, 1)},
    )
