"""The networks of others that can be asked for by name: what they are, where their weights lie, and how to tell that they are whole.

A file is looked for by its name in SFUMATO_WEIGHTS, the folder and its subfolders, and taken as it is found. Failing that it is looked for
in the cache (`SFUMATO_CACHE/weights`, or ~/.cache/sfumato/weights), to which it is downloaded, and its SHA-256 is compared.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sfumato.core.errors import CheckpointError, DownloadError
from sfumato.core.paths import cache_folder
from sfumato.core.progress import reached
from sfumato.data.download import fetch
from sfumato.models import MODELS
from sfumato.store import checkpoint
from sfumato.store.cards import DataFacts, ImportedFrom, ModelCard
from sfumato.store.foreign.base import RecognizedWeights, Tensors, read
from sfumato.store.foreign.features import claim, headless, trunk_of
from sfumato.store.loaded import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of weights on the net."""

    folder: str
    """Address of the folder that holds it."""
    name: str
    sha256: str
    """SHA-256 of the file; empty if none is published."""
    also: tuple[str, ...] = ()
    """Other names, with or without a folder, that it goes by in SFUMATO_WEIGHTS."""
    terms: str

    def path(self) -> Path:
        """Where it lies on this machine; fetched first if need be. Raises DownloadError, saying what to do, if that fails."""
        if folder := os.environ.get("SFUMATO_WEIGHTS"):
            names = (self.name, *self.also)
            places = [
                Path(folder).expanduser() / place / name for name in names for place in ("", "lpips", "hub/checkpoints", "checkpoints")
            ]
            if own := next((place for place in places if place.is_file()), None):
                return own
        try:
            return fetch([f"{self.folder}/{self.name}"], self._cached(), sha256=self.sha256, progress=_shown)
        except DownloadError as error:
            advice = f"or put {self.name} from {self.folder} into a folder and name that in SFUMATO_WEIGHTS"
            raise DownloadError(f"{error}; {advice}") from error

    def forget(self) -> None:
        """Removes the downloaded file, whose content is not what it should be, so that the next call downloads it again."""
        self._cached().unlink(missing_ok=True)

    def _cached(self) -> Path:
        return cache_folder() / "weights" / (self.also or (self.name,))[0].replace("/", "-")


def _shown(received: int, total: int | None) -> None:
    """Shows the progress of a download whose length is known."""
    if total:
        reached("downloading", 1000 * received // total, 1000)


_TORCHVISION = {"folder": "https://download.pytorch.org/models", "terms": "torchvision, BSD-3; trained on ImageNet"}
_LPIPS = {
    "folder": "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1",
    "terms": "PerceptualSimilarity, BSD-2",
}

TRUNKS = {
    "squeezenet": Published(
        name="squeezenet1_1-b8a52dc0.pth",
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        also=("squeezenet1_1.pth",),
        **_TORCHVISION,
    ),
    "alexnet": Published(
        name="alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        also=("alexnet.pth",),
        **_TORCHVISION,
    ),
    "vgg16": Published(
        name="vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        also=("vgg16.pth",),
        **_TORCHVISION,
    ),
    "googlenet": Published(
        name="googlenet-1378be20.pth",
        sha256="1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
        also=("googlenet.pth",),
        **_TORCHVISION,
    ),
    "inception": Published(
        folder="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights",
        name="pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        also=("pt_inception-2015-12-05.pth", "weights-inception-2015-12-05-6726825d.pth"),
        terms="ported from TensorFlow's of 5 December 2015, Apache-2.0; trained on ImageNet",
    ),
}
LINEAR = {
    "squeezenet": Published(
        name="squeeze.pth",
        sha256="4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
        also=("lpips_squeeze.pth",),
        **_LPIPS,
    ),
    "alexnet": Published(
        name="alex.pth",
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        also=("lpips_alex.pth",),
        **_LPIPS,
    ),
    "vgg16": Published(
        name="vgg.pth",
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        also=("lpips_vgg.pth",),
        **_LPIPS,
    ),
}
COMPARERS = {"lpips-squeeze": "squeezenet", "lpips-alex": "alexnet", "lpips-vgg": "vgg16"}
CLEAN = "inception-clean"
"""The same weights as `inception` after the resizing of clean-fid."""

NAMES = (*TRUNKS, CLEAN, *COMPARERS)
"""Every name that `load` knows."""


def load(name: str) -> LoadedModel[nn.Module]:
    """The network called `name`, one of NAMES, ready for use, with its settings and a card that names its source.

    Raises DownloadError if its weights are not here and cannot be fetched, CheckpointError if they are another network's.
    """
    trunk = COMPARERS.get(name, "inception" if name == CLEAN else name)
    recognized, digest = _trunk(trunk)
    source, config, state = TRUNKS[trunk], recognized.config, recognized.state
    if name in COMPARERS:
        bare, linear = headless(recognized), LINEAR[trunk]
        config = MODELS["lpips"](trunk=trunk)
        state = {f"trunk.{key}": value for key, value in bare.state.items()} | _linear(linear.path())
    elif name == CLEAN:
        config = MODELS["features"](trunk=trunk, classes=getattr(config, "classes", 0), resize="bicubic")
    checkpoint.check_finite(state, name)
    network = config.build()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{name}: its weights do not fit together: {' '.join(str(error).split())[:200]}") from error
    card = ModelCard(
        imported=ImportedFrom(file=source.name, sha256=digest, layout=recognized.layout, notes=recognized.notes),
        data=DataFacts(name=name, terms=source.terms),
    )
    return LoadedModel(network=checkpoint.ready(network), config=config, card=card, path=Path(name))


def _trunk(trunk: str) -> tuple[RecognizedWeights, str]:
    path = TRUNKS[trunk].path()
    tensors, digest = read(path)
    recognized = claim(tensors)
    if recognized is None or trunk_of(recognized) != trunk:
        raise CheckpointError(
            f"{path}: holds {recognized.layout if recognized else 'no network that is known'}, not {trunk}; put the right file there"
        )
    return recognized, digest


def _linear(path: Path) -> Tensors:
    tensors, _ = read(path)
    return {f"weights.{key.split('.')[0].removeprefix('lin')}": value.flatten() for key, value in tensors.items()}
