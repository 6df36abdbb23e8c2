"""Weights that others published for the families that are read here: `sfumato get NAME` downloads and converts them.

An address is that of the authors' own release. A SHA-256 is given where it is published with the file or in its name; elsewhere the file
is recognised by the names and shapes of its tensors, and its SHA-256 is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sfumato.core import outputs
from sfumato.core.catalog import suggest
from sfumato.core.errors import CheckpointError, UnknownNameError
from sfumato.store import checkpoint, foreign, public
from sfumato.store.loaded import LoadedModel
from sfumato.store.public import Published

NOT_PUBLISHED = "not published"


@dataclass(frozen=True, kw_only=True)
class PublicModel:
    """A network of others that can be fetched by its name."""

    name: str
    purpose: str
    files: tuple[Published, ...]
    layout: bool = True
    """Whether the file holds the whole network; else `public.load` puts it together."""

    @property
    def licence(self) -> str:
        """The licence of the weights, as their authors state it."""
        return self.files[0].terms


_KAIR = ("https://github.com/cszn/KAIR/releases/download/v1.0", "KAIR, MIT")
_SCUNET = ("https://github.com/cszn/KAIR/releases/download/v1.0", "SCUNet, Apache-2.0")
_SWINIR = ("https://github.com/JingyunLiang/SwinIR/releases/download/v0.0", "SwinIR, Apache-2.0")
_BSRGAN = ("https://github.com/cszn/KAIR/releases/download/v1.0", "BSRGAN, licence in its repository")
_RESTORMER = ("https://github.com/swz30/Restormer/releases/download/v1.0", "Restormer, academic use, not commercial")
_SAFMN = ("https://github.com/sunny2109/SAFMN/releases/download", "SAFMN, licence in its repository")
_IMDN = ("https://raw.githubusercontent.com/Zheng222/IMDN/master/checkpoints", "IMDN, no licence stated")
_CARN = ("https://raw.githubusercontent.com/nmhkahn/CARN-pytorch/master/checkpoint", "CARN, MIT")
_RFDN = ("https://raw.githubusercontent.com/njulj/RFDN/master/trained_model", "RFDN, no licence stated")
_REAL = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_REAL_TERMS = "Real-ESRGAN, BSD-3-Clause"
_FILES = {
    "dncnn-gray-blind": (*_KAIR, "dncnn_gray_blind.pth", "denoise grey pictures, noise level not given"),
    "dncnn-color-blind": (*_KAIR, "dncnn_color_blind.pth", "denoise colour pictures, noise level not given"),
    "dncnn-15": (*_KAIR, "dncnn_15.pth", "denoise grey pictures, noise 15"),
    "dncnn-25": (*_KAIR, "dncnn_25.pth", "denoise grey pictures, noise 25"),
    "dncnn-50": (*_KAIR, "dncnn_50.pth", "denoise grey pictures, noise 50"),
    "fdncnn-color": (*_KAIR, "fdncnn_color.pth", "denoise colour pictures of a given noise level"),
    "ffdnet-gray": (*_KAIR, "ffdnet_gray.pth", "denoise grey pictures of a given noise level"),
    "ffdnet-color": (*_KAIR, "ffdnet_color.pth", "denoise colour pictures of a given noise level"),
    "drunet-gray": (*_KAIR, "drunet_gray.pth", "denoise grey pictures of a given noise level, large"),
    "drunet-color": (*_KAIR, "drunet_color.pth", "denoise colour pictures of a given noise level, large"),
    "scunet-psnr": (*_SCUNET, "scunet_color_real_psnr.pth", "restore photographs, faithful"),
    "scunet-gan": (*_SCUNET, "scunet_color_real_gan.pth", "restore photographs, sharp, invents detail"),
    "swinir-x2": (*_SWINIR, "001_classicalSR_DF2K_s64w8_SwinIR-M_x2.pth", "enlarge twice"),
    "swinir-x4": (*_SWINIR, "001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth", "enlarge four times"),
    "swinir-light-x2": (*_SWINIR, "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x2.pth", "enlarge twice, small network"),
    "swinir-light-x4": (*_SWINIR, "002_lightweightSR_DIV2K_s64w8_SwinIR-S_x4.pth", "enlarge four times, small network"),
    "swinir-real-x4": (*_SWINIR, "003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x4_GAN.pth", "enlarge photographs four times, invents detail"),
    "swinir-jpeg40": (*_SWINIR, "006_colorCAR_DFWB_s126w7_SwinIR-M_jpeg40.pth", "remove JPEG artefacts of quality 40"),
    "restormer-gray-25": (*_RESTORMER, "gaussian_gray_denoising_sigma25.pth", "denoise grey pictures, noise 25"),
    "restormer-color-blind": (*_RESTORMER, "gaussian_color_denoising_blind.pth", "denoise colour pictures, noise level not given"),
    "restormer-motion": (*_RESTORMER, "motion_deblurring.pth", "remove the blur of motion"),
    "restormer-rain": (*_RESTORMER, "deraining.pth", "remove rain"),
    "carn-m": (*_CARN, "carn_m.pth", "enlarge four times; `sfumato import` of the same file gives twice and three times"),
    "imdn-x2": (*_IMDN, "IMDN_x2.pth", "enlarge twice, small network"),
    "imdn-x3": (*_IMDN, "IMDN_x3.pth", "enlarge three times, small network"),
    "imdn-x4": (*_IMDN, "IMDN_x4.pth", "enlarge four times, small network"),
    "rfdn-x4": (*_RFDN, "RFDN_AIM.pth", "enlarge four times, small network"),
    "safmn-x4": (f"{_SAFMN[0]}/v0", _SAFMN[1], "SAFMN_DF2K_x4.pth", "enlarge four times, small network"),
    "safmn-real-x2": (f"{_SAFMN[0]}/v0.1.0", _SAFMN[1], "SAFMN_L_Real_LSDIR_x2.pth", "enlarge photographs twice, invents detail"),
    "safmn-real-x4": (f"{_SAFMN[0]}/v0.1.0", _SAFMN[1], "SAFMN_L_Real_LSDIR_x4-v2.pth", "enlarge photographs four times, invents detail"),
    "bsrgan-x2": (*_BSRGAN, "BSRGANx2.pth", "enlarge photographs twice, invents detail"),
    "bsrgan-x4": (*_BSRGAN, "BSRGAN.pth", "enlarge photographs four times, invents detail"),
    "realesrnet-x4": (f"{_REAL}/v0.1.1", _REAL_TERMS, "RealESRNet_x4plus.pth", "enlarge photographs four times, faithful"),
    "realesrgan-x2": (f"{_REAL}/v0.2.1", _REAL_TERMS, "RealESRGAN_x2plus.pth", "enlarge photographs twice, invents detail"),
    "realesrgan-x4": (f"{_REAL}/v0.1.0", _REAL_TERMS, "RealESRGAN_x4plus.pth", "enlarge photographs four times, invents detail"),
    "realesrgan-anime-x4": (f"{_REAL}/v0.2.2.4", _REAL_TERMS, "RealESRGAN_x4plus_anime_6B.pth", "enlarge drawings four times"),
    "realesr-general-x4": (f"{_REAL}/v0.2.5.0", _REAL_TERMS, "realesr-general-x4v3.pth", "enlarge photographs four times, small network"),
}


def _catalogue() -> Mapping[str, PublicModel]:
    entries = [
        PublicModel(name=name, purpose=purpose, files=(Published(folder=folder, name=file, sha256="", terms=terms),))
        for name, (folder, terms, file, purpose) in _FILES.items()
    ]
    for name in public.NAMES:
        trunk = public.COMPARERS.get(name, "inception" if name == public.CLEAN else name)
        linear = (public.LINEAR[trunk],) if name in public.COMPARERS else ()
        purpose = "perceptual distance of two pictures" if linear else "features of pictures"
        entries.append(PublicModel(name=name, purpose=purpose, files=(public.TRUNKS[trunk], *linear), layout=False))
    return {each.name: each for each in entries}


CATALOGUE = _catalogue()
"""The networks that `get` knows, by name."""


@dataclass(frozen=True)
class Obtained:
    """A model file made from weights of others."""

    path: Path
    model: LoadedModel[nn.Module]
    published: bool
    """Whether a published SHA-256 was compared."""


def get_weights(name: str, out: str | Path | None = None, *, overwrite: bool = False) -> Obtained:
    """Downloads the weights called `name` (see CATALOGUE), and writes them as a model file, NAME.safetensors by default.

    An interrupted download is resumed by the next call. The downloaded file stays in the cache (SFUMATO_CACHE), and a file in
    SFUMATO_WEIGHTS is taken instead. Raises UnknownNameError for another name, DownloadError if the download fails or its SHA-256 is
    wrong, CheckpointError if the content is no network that is known.
    """
    if name not in CATALOGUE:
        raise UnknownNameError(f"no public weights {name!r}{suggest(name, CATALOGUE)}; `sfumato get --list` lists them")
    entry, target = CATALOGUE[name], Path(out) if out is not None else Path(f"{name}.safetensors")
    outputs.check_ending(target, (".safetensors",), "models")
    with outputs.reserved([target], by="get", overwrite=overwrite, replaces=False):
        model = _converted(entry.files[0]) if entry.layout else public.load(name)
        checkpoint.save_model(target, model)
    return Obtained(target, model, published=all(each.sha256 for each in entry.files))


def _converted(file: Published) -> LoadedModel[nn.Module]:
    """The network in a file. One that is none, such as the page of a proxy, is removed from the cache if no SHA-256 could tell it."""
    path = file.path()
    try:
        return foreign.load(path)
    except CheckpointError:
        if not file.sha256:
            file.forget()
        raise
