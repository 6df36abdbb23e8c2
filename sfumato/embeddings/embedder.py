"""A model that turns images into vectors: its latents, its features, or the maps of its discriminator, as its role has them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from sfumato.core.device import select_device
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.finite_output import finite
from sfumato.core.tensors import Bytes, Images, Vectors, to_images
from sfumato.metrics.base import device_of, measuring
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.base import decoded_vectors, export_graphs, image_vectors
from sfumato.store import weights
from sfumato.store.export.backend import Backend, with_backend
from sfumato.store.loaded import LoadedModel, Model

BATCH = 64
"""Images that a network turns into vectors at once."""
DEFAULT_MODEL = "codec"
"""The bundled model that describes photographs."""
DEFAULT_SIDE = 224
"""Side of the images for a network that takes any size."""


@dataclass(frozen=True)
class Embedder:
    """A model that turns images of one size into vectors."""

    model: LoadedModel[nn.Module]
    weights: str
    """SHA-256 of the weights of the network."""
    channels: int
    size: tuple[int, int]
    """Height and width of the images that the network takes."""
    dimension: int
    """Length of a vector."""
    name: str
    """The name of the model, as `load` takes it."""

    def vectors(self, pixels: Bytes) -> Vectors:
        """The vectors of images of the right size and channels, float32 on the CPU. Raises ImageError, naming the model, for NaN."""
        return self._parts(pixels.split(BATCH), lambda images: image_vectors(self.model.network, images))

    def decoded(self, vectors: Vectors) -> Images | None:
        """The images of vectors, in [0, 1] on the CPU; None if the network cannot decode."""
        with measuring(self.model.network):
            if decoded_vectors(self.model.network, vectors[:1].to(self._device)) is None:
                return None
            return self._parts(vectors.split(BATCH), lambda part: decoded_vectors(self.model.network, part))

    @property
    def _device(self) -> torch.device:
        return device_of(self.model.network, torch.device("cpu"))

    def _parts(self, parts: tuple[torch.Tensor, ...], compute: Callable[[torch.Tensor], torch.Tensor | None]) -> torch.Tensor:
        outputs = []
        with measuring(self.model.network):
            for part in parts:
                output = compute((to_images(part) if part.dtype == torch.uint8 else part).to(self._device))
                assert output is not None
                outputs.append(finite(output.float().cpu(), self.model))
        return torch.cat(outputs)


def embedder(model: Model, *, backend: Backend = "torch", device: str = "auto") -> Embedder:
    """The model that `model` names, ready to turn images into vectors, which `backend` computes as in `with_backend`.

    Raises UnknownNameError for a model that does not exist, SettingError for one that gives no vectors of images.
    """
    loaded = weights.model_of(model).to(select_device(device))
    network = loaded.network
    channels: int = getattr(network, "channels", 3)
    size: tuple[int, int] = getattr(network, "size", None) or (DEFAULT_SIDE, DEFAULT_SIDE)
    blank = torch.zeros(1, channels, *size, device=device_of(network, torch.device("cpu")))
    with measuring(network):
        vectors = image_vectors(network, blank)
    if vectors is None:
        raise SettingError(
            f"{loaded} cannot turn pictures into vectors ({_reason(network)}); take a codec, a VAE without classes, a classifier, a GAN "
            "that was saved with its discriminator, or squeezenet"
        )
    digest, length = weights_hash(network), vectors.shape[1]
    by_backend = loaded if backend == "torch" else _on_backend(loaded, backend, blank.cpu())
    return Embedder(model=by_backend, weights=digest, channels=channels, size=size, dimension=length, name=_name(loaded))


def _reason(network: nn.Module) -> str:
    """Why a network gives no vectors."""
    if hasattr(network, "discriminator"):
        return "it was saved without its discriminator"
    if getattr(network, "classes", 0) and hasattr(network, "infer_latents"):
        return "its encoder needs the class of each picture"
    return "its network has none"


def half(vectors: torch.Tensor, network: Embedder) -> torch.Tensor:
    """Vectors in float16, as an index keeps them. Raises ImageError for numbers that are too large for it."""
    halved = vectors.half()
    if not halved.isfinite().all():
        raise ImageError(f"{network.name} gives vectors with numbers up to {vectors.abs().max():.3g}, and an index takes at most 65504")
    return halved


def _on_backend(model: LoadedModel[nn.Module], backend: Backend, blank: Images) -> LoadedModel[nn.Module]:
    """The part of a model that describes images, computed by `backend`. Raises SettingError for a model whose graphs describe none."""
    part = "encoder" if "encoder" in export_graphs(model.network) else ""
    exported = with_backend(model, backend, part=part)
    with measuring(exported.network):
        if image_vectors(exported.network, blank) is None:
            raise SettingError(f"backend = {backend}: what describes images in {model} cannot be exported; take the backend torch")
    return exported


def _name(model: LoadedModel[nn.Module]) -> str:
    """The name by which `load` gives this model: that of a bundled model, or its file."""
    names = {path: name for name, path in weights.bundled().items()}
    return str(model) if model.path is None else names.get(model.path, str(model.path))
