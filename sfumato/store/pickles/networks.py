"""The networks in other people's GAN snapshots, as tensors by name and plain settings; no class of theirs is ever made.

StyleGAN2-ADA, StyleGAN3 .pkl    {G, D, G_ema, augment_pipe}: persistent classes, each with the source of its module, as text
R3GAN .pkl                       {G, D, G_ema}: classes by name
rosinality .pt                   {g, d, g_ema}: tables of tensors; args: argparse.Namespace
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sfumato.store.pickles import torchfile
from sfumato.store.pickles.machine import Known, Name
from sfumato.store.pickles.source import OBJECT, Source, opened
from sfumato.store.pickles.table import TABLE
from sfumato.store.pickles.tensors import Strided
from sfumato.store.pickles.values import DEEP, Module, NotPlainError, named, plain

_NVIDIA = "NVIDIA Source Code License: non-commercial use only"
_LICENCES = {
    "stylegan2-ada": f"made with NVIDIA's code ({_NVIDIA}); weights of their own making may carry other terms: ask who trained them",
    "stylegan3": f"made with NVIDIA's code ({_NVIDIA}); weights of their own making may carry other terms: ask who trained them",
    "r3gan": "R3GAN gives no licence for its code and weights: ask who trained them before any use",
    "rosinality": f"rosinality's code is MIT, the weights are not said; converted from NVIDIA's, they are under the {_NVIDIA}",
}
_OURS = {"g": "G", "d": "D", "g_ema": "G_ema"}


@dataclass(kw_only=True)
class Network:
    """One network of a snapshot."""

    name: str
    """Its class's name; rosinality's files have none, and it is Generator or Discriminator."""
    settings: dict[str, object] = field(default_factory=dict)
    """Keyword arguments that it was made with, as plain data; empty where the file does not say (R3GAN, rosinality)."""
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """Parameters and buffers by dotted name, as saved: dtype and strides are kept, a frozen layer's weights are buffers."""
    parameters: set[str] = field(default_factory=set)
    """Which of them were parameters."""
    facts: dict[str, object] = field(default_factory=dict)
    """Plain attributes of it and of its modules, by dotted name: `z_dim`, `synthesis.b8.conv0.conv_clamp`."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A file of networks."""

    kind: str
    """`stylegan2-ada`, `stylegan3`, `r3gan` or `rosinality`: whose names the tensors have."""
    networks: dict[str, Network]
    """`G`, `D`, `G_ema`, `augment_pipe`, as far as the file has them; rosinality's under these names too."""
    settings: dict[str, object]
    """What else the file says in plain data: `training_set_kwargs`, `cur_nimg`, `args`."""
    tensors: dict[str, torch.Tensor]
    """Tensors beside the networks: `latent_avg`, the mean latent of rosinality's converted files."""
    licence: str
    """Words to print before the weights are used."""
    file: str
    sha256: str


def read(path: Path) -> Snapshot:
    """The networks in `path`. Nothing of the file is run, and it takes at most twice its size and 8 MiB of memory.

    Raises CheckpointError, naming what was asked for, if the file wants anything but networks of the four kinds, and if it is damaged.
    """
    with opened(path) as source:
        tree = torchfile.root(source, _KNOWN)
        kind = _kind(source, tree)
        networks = {_OURS.get(name, name): _network(source, name, value) for name, value in _places(tree).items()}
        loose = {name: value.load(source) for name, value in tree.items() if isinstance(name, str) and isinstance(value, Strided)}
        rest = {name: value for name, value in tree.items() if name not in _places(tree)}
        digest, settings = source.digest(), _plain_entries(source, rest)
    return Snapshot(kind=kind, networks=networks, settings=settings, tensors=loose, licence=_LICENCES[kind], file=path.name, sha256=digest)


def kind(path: Path) -> str:
    """Which of the four kinds `path` is, without its tensors. Raises CheckpointError like `read`."""
    with opened(path) as source:
        return _kind(source, torchfile.root(source, _KNOWN))


def _places(tree: dict[object, object]) -> dict[str, Module | dict[object, object]]:
    """The networks of a file by their names in it."""
    named = {name: value for name, value in tree.items() if isinstance(name, str)}
    return {name: value for name, value in named.items() if isinstance(value, Module) or (name in _OURS and isinstance(value, dict))}


def _kind(source: Source, tree: dict[object, object]) -> str:
    """Whose names the modules have: read off a generator, or off a discriminator that comes alone."""
    for name in ("G_ema", "G", "D", "g_ema", "g", "d"):
        held = tree.get(name)
        if isinstance(held, Module):
            parts = _modules(source, held)
            if "Model" in parts:
                return "r3gan"
            inner = _modules(source, parts.get("synthesis", held))
            if any(part.startswith("L0_") for part in inner):
                return "stylegan3"
            if "b4" in inner:
                return "stylegan2-ada"
            raise source.refuse(f"its {name} is a {ascii(held.name)[1:-1][:60]}, of a layout that is not known")
        if isinstance(held, dict) and {"conv1.conv.weight", "final_conv.0.weight"} & set(held):
            return "rosinality"
    raise source.refuse(f"it holds none of G, D, G_ema, g, d, g_ema; it has {', '.join(ascii(name)[:30] for name in list(tree)[:8])}")


def _modules(source: Source, module: Module) -> dict[str, Module]:
    held = module.state.get("_modules", {})
    if not isinstance(held, dict) or not all(isinstance(k, str) and (v is None or isinstance(v, Module)) for k, v in held.items()):
        raise source.refuse(f"the modules of a {ascii(module.name)[1:-1][:60]} are none")
    return {name: inner for name, inner in held.items() if inner is not None}


def _network(source: Source, name: str, held: Module | dict[object, object]) -> Network:
    if isinstance(held, Module):
        network = Network(name=held.name, settings=_plain_entries(source, held.state.get("_init_kwargs", {})))
        _flatten(source, held, "", network, 0)
        return network
    network = Network(name="Discriminator" if name == "d" else "Generator")
    for title, value in held.items():
        _name(source, network, title, value)
    network.parameters = {title for title in network.tensors if not (title.endswith(".kernel") or title.startswith("noises."))}
    return network


def _flatten(source: Source, module: Module, prefix: str, network: Network, depth: int) -> None:
    source.spend(8 * OBJECT)
    if depth > DEEP:
        raise source.refuse(f"its modules lie more than {DEEP} deep in one another")
    for group in ("_parameters", "_buffers"):
        held = module.state.get(group, {})
        if not isinstance(held, dict):
            raise source.refuse(f"the {group[1:]} of {prefix or 'the network'} are none")
        for name, value in held.items():
            if value is not None:
                title = f"{prefix}{name}"
                _name(source, network, title, value)
                if group == "_parameters":
                    network.parameters.add(title)
    public = {name: value for name, value in module.state.items() if isinstance(name, str) and not name.startswith("_")}
    network.facts |= {f"{prefix}{name}": value for name, value in _plain_entries(source, public).items()}
    for name, inner in _modules(source, module).items():
        _flatten(source, inner, f"{prefix}{name}.", network, depth + 1)


def _name(source: Source, network: Network, title: object, value: object) -> None:
    if not isinstance(title, str) or not isinstance(value, Strided) or title in network.tensors:
        raise source.refuse(f"{ascii(title)[:80]} stands where a tensor with a name of its own should")
    network.tensors[title] = value.load(source)


def _plain_entries(source: Source, table: object) -> dict[str, object]:
    """Those entries of `table` that are plain data throughout."""
    entries = {}
    for name, value in table.items() if isinstance(table, dict) else ():
        with suppress(NotPlainError):
            entries[str(name)] = plain(source, value)
    return entries


def _persistent(source: Source, args: tuple[object, ...]) -> Module:
    meta = args[0] if len(args) == 1 else None
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise source.refuse("a persistent class without a state")
    if not isinstance(meta.get("class_name"), str) or not isinstance(meta.get("module_src"), str):
        raise source.refuse("a persistent class without its name and source")
    return Module(meta["class_name"], meta["state"], meta["module_src"])


def _classes(place: str, *titles: str) -> dict[str, Name]:
    return {f"{place}.{title}": Name(f"{place}.{title}", new=lambda title=title: Module(title)) for title in titles}


_KNOWN: Known = {
    **TABLE,
    **named("torch_utils.persistence._reconstruct_persistent_obj", call=_persistent),
    **named("dnnlib.util.EasyDict", new=dict),
    **_classes("training.networks", "Generator", "Discriminator"),
    **_classes("R3GAN.Networks", "Generator", "GeneratorStage", "GenerativeBasis", "UpsampleLayer"),
    **_classes("R3GAN.Networks", "Discriminator", "DiscriminatorStage", "DiscriminativeBasis", "DownsampleLayer"),
    **_classes("R3GAN.Networks", "ResidualBlock", "Convolution"),
    **_classes("R3GAN.FusedOperators", "BiasedActivationCUDA", "BiasedActivationReference"),
    **_classes("R3GAN.Resamplers", "InterpolativeUpsamplerCUDA", "InterpolativeUpsamplerReference"),
    **_classes("R3GAN.Resamplers", "InterpolativeDownsamplerCUDA", "InterpolativeDownsamplerReference"),
    **_classes("torch.nn.modules.container", "ModuleList"),
    **_classes("torch.nn.modules.linear", "Linear"),
    **_classes("torch.nn.modules.conv", "Conv2d"),
}
"""Every name that a file may use."""
