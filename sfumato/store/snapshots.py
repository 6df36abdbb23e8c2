"""StyleGAN2 networks out of other people's snapshots, as networks of ours.

The names of StyleGAN2-ADA and ours; rosinality's are put into those first. A generator and a discriminator that agree on size, channels and
classes become one network; a generator alone one without a discriminator.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict, cast

import torch

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.tensors import size_text
from sfumato.core.text import quoted
from sfumato.models import MODELS
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store.pickles import Network, Snapshot
from sfumato.store.recognized import RecognizedWeights, built

_FILTER = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8] * 2)
_RATE = 0.01
_ACTIVATIONS = {"affine": "linear", "embed": "linear", "out": "linear", "skip": "linear"}
"""What follows a layer of this name; all others are followed by a leaky ReLU, `lrelu`."""
_UNCLAMPED = ("skip",)
"""Layers that are never clamped."""
_LAYER = r"(weight|bias|resample_filter)"
_PARTS = (
    r"mapping\.(w_avg|embed\.(weight|bias)|fc\d+\.(weight|bias))",
    r"synthesis\.b\d+\.(const|resample_filter|skip\.(weight|resample_filter))",
    rf"synthesis\.b\d+\.(conv[01]|torgb)\.({_LAYER}|affine\.(weight|bias)|noise_strength|noise_const)",
    rf"b\d+\.(resample_filter|(fromrgb|conv[01]?|fc|out)\.{_LAYER}|skip\.(weight|resample_filter))",
)
"""Every name that the tensors of a StyleGAN2 have; with others beside them it computes something else."""


def converted(snapshot: Snapshot, path: Path) -> RecognizedWeights:
    """The network of ours that computes what the averaged generator (and the discriminator) of `snapshot` do.

    Raises CheckpointError, saying what stands in the way, for networks of another kind, and for variants that ours does not have.
    """
    if snapshot.kind not in ("stylegan2-ada", "rosinality"):
        raise CheckpointError(f"{path}: {snapshot.kind} is read, but there is no network here that runs it; only its tensors can be saved")
    try:
        return _converted(snapshot, path)
    except SettingError as error:
        raise CheckpointError(f"{path}: a StyleGAN2 of a kind that ours does not come in ({error})") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a whole StyleGAN2 ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from error


def _converted(snapshot: Snapshot, path: Path) -> RecognizedWeights:
    nets = {name: _named(net, snapshot) for name, net in snapshot.networks.items() if name in ("G", "D", "G_ema")}
    painter = nets.get("G_ema") or nets.get("G")
    if painter is None:
        raise CheckpointError(f"{path}: holds no generator; without one there is nothing to make images with")
    settings, state = _generator(painter, path)
    judge, of_judge = nets.get("D"), dict[str, object]()
    if judge is not None:
        of_judge, weights = _discriminator(judge, settings, path)
        state |= weights
    config = MODELS["stylegan"](**{**settings, **of_judge})
    size, labels = size_text(settings["size"]), f", {settings['classes']} classes" if settings["classes"] else ""
    parts = f"{'generator and discriminator' if judge else 'generator'}, {size}, {settings['channels']} channels{labels}"
    recognized = RecognizedWeights(layout=f"StyleGAN2 ({snapshot.kind}), {parts}", config=config, state=state)
    if "mapping.w_avg" in painter.tensors:
        return recognized
    means = {"generator.means": _mean(recognized, path)}
    return dataclasses.replace(recognized, state=state | means, notes="its mean style is not in the file; it was measured")


@torch.no_grad()
def _mean(recognized: RecognizedWeights, path: Path) -> torch.Tensor:
    """The mean style of ten thousand latents."""
    network = cast(StyleGenerator, built(recognized, path).eval())
    z = torch.randn(10_000, network.latent_dim, generator=torch.Generator().manual_seed(0))
    return network.map_latent(z)[:, 0].mean(dim=0, keepdim=True)


class GeneratorSettings(TypedDict):
    """The settings of the network of ours that the weights of a generator say (`models/stylegan.py`)."""

    size: tuple[int, int]
    channels: int
    classes: int
    latent_dim: int
    style_dim: int
    mapping: int
    mapping_rate: float
    generator: str
    width: int
    max_width: int
    discriminator_width: int
    clamp: float


@dataclasses.dataclass(kw_only=True)
class Named:
    """A network's tensors under the names of StyleGAN2-ADA, those that are constants left out."""

    tensors: dict[str, torch.Tensor]
    settings: dict[str, object]
    facts: dict[str, object]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the tensor called `name`."""
        return tuple(self.tensors[name].shape)

    def setting(self, name: str) -> dict[str, object]:
        """The value of the attribute `name` of each layer that has it, by the layer's name; without such, what it was made with."""
        own = {layer: value for fact, value in self.facts.items() for layer, _, end in [fact.rpartition(".")] if end == name}
        return own or dict(_nested(self.settings, name))

    @property
    def sides(self) -> list[int]:
        """4, 8, 16, ... as far as there are blocks."""
        return sorted({int(match[1]) for name in self.tensors if (match := re.match(r"(?:synthesis\.)?b(\d+)\.", name))})


def _nested(settings: dict[str, object], name: str, place: str = "") -> Iterator[tuple[str, object]]:
    """Each value of the setting `name`, at whatever depth, with the name of the group that it is in."""
    for key, value in settings.items():
        if key == name:
            yield place, value
        elif isinstance(value, dict):
            yield from _nested(value, name, key)


def _named(network: Network, snapshot: Snapshot) -> Named:
    tensors = {name: value.float() for name, value in network.tensors.items() if value.is_floating_point()}
    for name, value in tensors.items():
        is_filter = name.endswith(("resample_filter", ".kernel"))  # rosinality's are four times as strong on the way up
        if is_filter and (value.shape != _FILTER.shape or not torch.allclose(value / value.sum(), _FILTER, atol=1e-6)):
            raise CheckpointError(f"{name} is not [1, 3, 3, 1] both ways, the one filter that ours has")
    if snapshot.kind == "rosinality":
        tensors = _from_rosinality(tensors, snapshot.tensors.get("latent_avg"))
    if more := next((name for name in tensors if not any(re.fullmatch(part, name) for part in _PARTS)), None):
        raise CheckpointError(f"{network.name} has {more}, which a StyleGAN2 has not: it is another network, built on one")
    net = Named(tensors=tensors, settings=network.settings, facts=network.facts)
    for layer, name in net.setting("activation").items():
        if name != (usual := _ACTIVATIONS.get(layer.rpartition(".")[2], "lrelu")):
            raise CheckpointError(f"{network.name}: {layer or 'it'} has activation = {name}, where ours has {usual} alone")
    return net


def _generator(net: Named, path: Path) -> tuple[GeneratorSettings, dict[str, torch.Tensor]]:
    sides, t = net.sides, net.tensors
    _complete(sides, path)
    wide = [net.shape(f"synthesis.b{r}.conv1.weight")[0] for r in sides]
    images = [r for r in sides if f"synthesis.b{r}.torgb.weight" in t]
    kind = "skip" if len(images) == len(sides) else "residual" if any(f"synthesis.b{r}.skip.weight" in t for r in sides) else "plain"
    layers = len({name for name in t if re.fullmatch(r"mapping\.fc\d+\.weight", name)})
    classes = net.shape("mapping.embed.weight")[1] if "mapping.embed.weight" in t else 0
    style_dim = net.shape("mapping.fc0.weight")[0]
    if classes and net.shape("mapping.embed.weight")[0] != style_dim:
        raise CheckpointError(f"{path}: its labels become {net.shape('mapping.embed.weight')[0]} numbers, its styles have {style_dim}")
    latent_dim = net.shape("mapping.fc0.weight")[1] - (style_dim if classes else 0)
    widths = _widths("width", wide[::-1], path)
    settings = GeneratorSettings(
        size=(sides[-1], sides[-1]),
        channels=net.shape(f"synthesis.b{sides[-1]}.torgb.weight")[0],
        classes=classes,
        latent_dim=latent_dim,
        style_dim=style_dim,
        mapping=layers,
        mapping_rate=_rate(net),
        generator=kind,
        width=widths["width"],
        max_width=widths["max_width"],
        discriminator_width=0,
        clamp=_clamp(net, path),
    )
    mean = t.get("mapping.w_avg", torch.zeros(style_dim))
    state = {"generator.means": mean.expand(max(1, classes), -1).clone()}
    state |= {f"generator.mapping.{name}": value for name, value in _mapping(t, "mapping.").items()}
    return settings, state | _synthesis(t, sides, images, residual=kind == "residual")


def _synthesis(t: dict[str, torch.Tensor], sides: list[int], images: list[int], *, residual: bool) -> dict[str, torch.Tensor]:
    """The weights of the synthesis network, which has blocks of these `sides`, those of `images` with an image of their own."""
    state = {"generator.synthesis.start": t["synthesis.b4.const"][None]}
    for i, r in enumerate(sides):
        here = f"synthesis.b{r}."
        if i:
            state |= _layer(t, f"{here}conv0.", f"generator.synthesis.first.{i - 1}.")
        state |= _layer(t, f"{here}conv1.", f"generator.synthesis.second.{i}.")
        if i and residual:
            state[f"generator.synthesis.shortcuts.{i - 1}.weight"] = t[f"{here}skip.weight"]
        if r in images:
            place = f"generator.synthesis.images.{images.index(r)}."
            state |= {f"{place}{end}": t[f"{here}torgb.{end}"] for end in ("weight", "bias", "affine.weight", "affine.bias")}
    return state


def _discriminator(net: Named, generator: GeneratorSettings, path: Path) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """The settings of a discriminator beside those of its generator, and its weights."""
    sides, t = net.sides[::-1], net.tensors
    _complete(sides[::-1], path)
    if (sides[0],) * 2 != generator["size"] or net.shape(f"b{sides[0]}.fromrgb.weight")[1] != generator["channels"]:
        raise CheckpointError(f"{path}: its discriminator is for other images than its generator makes")
    if f"b{sides[1]}.fromrgb.weight" in t:
        raise CheckpointError(f"{path}: its discriminator looks at the image at every size (architecture skip), which ours does not")
    if ("mapping.embed.weight" in t) != bool(generator["classes"]):
        raise CheckpointError(f"{path}: its discriminator and its generator do not agree on classes")
    residual = any(f"b{r}.skip.weight" in t for r in sides)
    wide = [net.shape(f"b{r}.conv0.weight")[1] for r in sides[:-1]] + [net.shape("b4.conv.weight")[0]]
    settings = _widths("discriminator_width", wide, path)
    if settings.pop("max_width") != generator["max_width"]:
        raise CheckpointError(
            f"{path}: its discriminator is up to {max(wide)} channels wide, its generator {generator['max_width']}; ours has one limit"
        )
    if generator["classes"] and _rate(net) != generator["mapping_rate"]:
        rates = f"{generator['mapping_rate']:g} in the generator, {_rate(net):g} in the discriminator"
        raise CheckpointError(f"{path}: its mapping learns at {rates}; ours have one rate")
    clamp = _clamp(net, path)
    state = {
        "discriminator.stem.weight": t[f"b{sides[0]}.fromrgb.weight"],
        "discriminator.stem.bias": t[f"b{sides[0]}.fromrgb.bias"],
    }
    for i, r in enumerate(sides[:-1]):
        for theirs, ours in (("conv0", "first"), ("conv1", "second")):
            state |= {f"discriminator.{ours}.{i}.{end}": t[f"b{r}.{theirs}.{end}"] for end in ("weight", "bias")}
        if residual:
            state[f"discriminator.shortcuts.{i}.weight"] = t[f"b{r}.skip.weight"]
    for theirs, ours in (("conv", "conv"), ("fc", "dense"), ("out", "score")):
        state |= {f"discriminator.{ours}.{end}": t[f"b4.{theirs}.{end}"] for end in ("weight", "bias")}
    state |= {f"discriminator.mapping.{name}": value for name, value in _mapping(t, "mapping.").items()}
    layers = len({name for name in t if re.fullmatch(r"mapping\.fc\d+\.weight", name)})
    facts: dict[str, object] = {"discriminator": "residual" if residual else "plain", "group": _group(net), **settings}
    facts |= {"discriminator_clamp": clamp} if clamp != generator["clamp"] else {}
    return facts | ({"judging_layers": layers} if generator["classes"] else {}), state


def _group(net: Named) -> int:
    """Images in a group of the minibatch deviation: 4 where the file says nothing, all of a batch (0) where it says None."""
    size = net.facts.get("b4.mbstd.group_size", next(iter(dict(_nested(net.settings, "mbstd_group_size")).values()), 4))
    return 0 if size is None else int(_number(size, "mbstd_group_size"))


def _number(value: object, name: str) -> float:
    """`value`, if it is a number. Raises SettingError, with the `name` of the setting, if not."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise SettingError(f"{name} = {quoted(value)} is no number")
    return value


def _mapping(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in tensors.items():
        match = re.fullmatch(re.escape(prefix) + r"(embed|fc(\d+))\.(weight|bias)", name)
        if match:
            renamed[f"embed.{match[3]}" if match[1] == "embed" else f"layers.{match[2]}.{match[3]}"] = value
    return renamed


def _layer(tensors: dict[str, torch.Tensor], theirs: str, ours: str) -> dict[str, torch.Tensor]:
    ends = {"weight": "weight", "bias": "bias", "noise_strength": "strength", "noise_const": "noise"}
    ends |= {"affine.weight": "affine.weight", "affine.bias": "affine.bias"}
    return {f"{ours}{end}": tensors[f"{theirs}{name}"] for name, end in ends.items()}


def _widths(name: str, wide: list[int], path: Path) -> dict[str, int]:
    """Finest first: each twice the one before, up to a limit."""
    most = max(wide)
    if any(width != min(wide[0] << i, most) for i, width in enumerate(wide)):
        raise CheckpointError(f"{path}: widths {wide} do not double up to a limit, as those of ours do")
    return {name: wide[0], "max_width": most}


def _complete(sides: list[int], path: Path) -> None:
    if len(sides) < 2 or sides != [4 << i for i in range(len(sides))]:
        raise CheckpointError(f"{path}: has blocks for {sides} pixels, not for 4, 8, 16 and so on")


def _rate(net: Named) -> float:
    """How fast the mapping moves, compared with the other weights; it scales what the layers compute."""
    own = {value for layer, value in net.setting("bias_gain").items() if re.fullmatch(r"mapping\.fc\d+", layer)}
    rates = own or set(net.setting("lr_multiplier").values()) or {_RATE}
    if len(rates) > 1:
        raise SettingError(f"its mapping's layers have {len(rates)} different lr_multiplier")
    return float(_number(rates.pop(), "lr_multiplier"))


def _clamp(net: Named, path: Path) -> float:
    """What all maps are held within; 0 if they are not."""
    clamps = {value for layer, value in net.setting("conv_clamp").items() if layer.rpartition(".")[2] not in _UNCLAMPED}
    limits = {max(0.0, float(_number(0 if value is None else value, "conv_clamp"))) for value in clamps} or {0.0}
    if len(limits) > 1:
        raise CheckpointError(f"{path}: its layers have conv_clamp = {', '.join(map(str, sorted(clamps, key=str)))}; ours have one limit")
    if 0 in clamps:
        raise CheckpointError(f"{path}: conv_clamp = 0 leaves nothing of its maps")
    return limits.pop()


def _from_rosinality(tensors: dict[str, torch.Tensor], mean: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Under the names of StyleGAN2-ADA."""
    renamed: dict[str, torch.Tensor] = {} if mean is None else {"mapping.w_avg": mean.float().reshape(-1)}
    noises = {int(m[1]): v for name, v in tensors.items() if (m := re.fullmatch(r"noises\.noise_(\d+)", name))}
    for name, value in tensors.items():
        for pattern, to in _ROSINALITY:
            match = re.fullmatch(pattern, name)
            if match:
                title, data = to(match, value)
                renamed[title] = data
                break
        else:
            if not name.endswith(".kernel") and not name.startswith("noises."):
                renamed[name] = value  # the check of names then refuses it
    for j, value in noises.items():
        r, conv = 4 << (j + 1) // 2, "conv1" if j % 2 == 0 else "conv0"
        renamed[f"synthesis.b{r}.{conv}.noise_const"] = value[0, 0]
    count = max((int(m[1]) for name in tensors if (m := re.match(r"convs\.(\d+)\.conv1\.", name))), default=0)
    return {re.sub(r"^level(\d+)\.", lambda m: f"b{8 << (count - int(m[1]))}.", name): value for name, value in renamed.items()}


def _styled(block: str, end: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    ends = {
        "conv.weight": ("weight", lambda v: v[0]),
        "conv.modulation.weight": ("affine.weight", lambda v: v),
        "conv.modulation.bias": ("affine.bias", lambda v: v),
        "noise.weight": ("noise_strength", lambda v: v.reshape(())),
        "activate.bias": ("bias", lambda v: v),
        "bias": ("bias", lambda v: v.reshape(-1)),
    }
    to, change = ends[end]
    return f"{block}.{to}", change(value)


_STYLED = r"(conv\.weight|conv\.modulation\.weight|conv\.modulation\.bias|noise\.weight|activate\.bias)"
_IMAGE = r"(conv\.weight|conv\.modulation\.weight|conv\.modulation\.bias|bias)"
_ROSINALITY: tuple[tuple[str, Callable[[re.Match[str], torch.Tensor], tuple[str, torch.Tensor]]], ...] = (
    (r"style\.(\d+)\.(weight|bias)", lambda m, v: (f"mapping.fc{int(m[1]) - 1}.{m[2]}", v)),
    (r"input\.input", lambda m, v: ("synthesis.b4.const", v[0])),
    (rf"conv1\.{_STYLED}", lambda m, v: _styled("synthesis.b4.conv1", m[1], v)),
    (rf"convs\.(\d+)\.{_STYLED}", lambda m, v: _styled(f"synthesis.b{8 << int(m[1]) // 2}.conv{int(m[1]) % 2}", m[2], v)),
    (rf"to_rgb1\.{_IMAGE}", lambda m, v: _styled("synthesis.b4.torgb", m[1], v)),
    (rf"to_rgbs\.(\d+)\.{_IMAGE}", lambda m, v: _styled(f"synthesis.b{8 << int(m[1])}.torgb", m[2], v)),
    (r"convs\.0\.0\.weight", lambda m, v: ("level1.fromrgb.weight", v)),
    (r"convs\.0\.1\.bias", lambda m, v: ("level1.fromrgb.bias", v)),
    (r"convs\.(\d+)\.conv1\.0\.weight", lambda m, v: (f"level{m[1]}.conv0.weight", v)),
    (r"convs\.(\d+)\.conv1\.1\.bias", lambda m, v: (f"level{m[1]}.conv0.bias", v)),
    (r"convs\.(\d+)\.conv2\.1\.weight", lambda m, v: (f"level{m[1]}.conv1.weight", v)),
    (r"convs\.(\d+)\.conv2\.2\.bias", lambda m, v: (f"level{m[1]}.conv1.bias", v)),
    (r"convs\.(\d+)\.skip\.1\.weight", lambda m, v: (f"level{m[1]}.skip.weight", v)),
    (r"final_conv\.0\.weight", lambda m, v: ("b4.conv.weight", v)),
    (r"final_conv\.1\.bias", lambda m, v: ("b4.conv.bias", v)),
    (r"final_linear\.0\.(weight|bias)", lambda m, v: (f"b4.fc.{m[1]}", v)),
    (r"final_linear\.1\.(weight|bias)", lambda m, v: (f"b4.out.{m[1]}", v)),
)
"""rosinality's names and shapes, and StyleGAN2-ADA's. Convolutions are neither flipped nor transposed."""
