"""The verbs of the service in a process that computes: bytes and options to an answer. Each model is loaded once."""

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import nn

from sfumato.compression.compress import compressed, opened_codec
from sfumato.compression.request import CompressionRequest
from sfumato.compression.source import source_of
from sfumato.core.device import default_memory
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import to_pixels
from sfumato.embeddings.embedder import Embedder, embedder
from sfumato.generation.generate import generate, opened_generator
from sfumato.io import decode, files, metadata
from sfumato.io.channels import as_pixels
from sfumato.io.inputs import convert
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.restorer import Restorer
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.repair import held
from sfumato.restoration.request import DETECTOR, NETWORKS, PRIOR, RestorationRequest
from sfumato.restoration.restore import carried_out
from sfumato.restoration.result import RestoredImage
from sfumato.service.answers import Answer, RefusalError, header_value
from sfumato.service.intake import too_many_pixels
from sfumato.service.options import (
    CompressOptions,
    EmbedOptions,
    GenerateOptions,
    PictureFormat,
    RestoreOptions,
    from_query,
)
from sfumato.service.settings import ServiceSettings
from sfumato.store import weights
from sfumato.store.export.backend import with_backend
from sfumato.store.loaded import LoadedModel

Role = TypeVar("Role", bound=nn.Module)
_NAME = "the picture"
_RENEWED = 1000
"""Pictures after which the values that are kept for each size of a picture are dropped: sizes of strangers' pictures have no end."""


class Verbs:
    """The verbs that a process offers, with their models."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Loads the models. Raises SettingError, UnknownNameError or CheckpointError for one that cannot be used."""
        self.settings = settings
        self._memory = settings.memory or default_memory() / settings.jobs
        self._restorer = (
            None if settings.restorer is None else _nameless(weights.opened(settings.restorer, Restorer, otherwise="repairs nothing"))
        )
        self._generator = _generator(settings) if settings.generator else None
        self._codec = opened_codec(settings.codec).network if settings.codec else None
        self._embedder = _embedder(settings) if settings.embedder else None
        self._networks, self._count = Networks(settings.backend), 0
        if settings.backend != "torch":  # converted now, and not within the time of the first requests
            for name in (*NETWORKS, DETECTOR) if self._restorer is None else (self._restorer,):
                self._networks.opened(name)

    @property
    def verbs(self) -> dict[str, Callable[[Iterable[tuple[str, str]], bytes], Answer]]:
        """The verbs that have a model, by name: each takes the pairs of a query and the body of a request."""
        every = {
            "restore": (True, self.restore),
            "generate": (self._generator is not None, self.generate),
            "compress": (self._codec is not None, self.compress),
            "embed": (self._embedder is not None, self.embed),
        }
        return {name: verb for name, (offered, verb) in every.items() if offered}

    def restore(self, query: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """The repaired picture; the header Sfumato-Plan says what was found and done."""
        options = from_query(RestoreOptions, query)
        request = self._request(options)
        request.check()
        pixels = self._checked(body)
        if request.task == "upscale" and pixels * (request.scale or 1) ** 2 > self.settings.max_pixels:
            raise too_many_pixels(pixels * (request.scale or 1) ** 2, self.settings, "the result")
        if BASE + held(pixels, request) > request.memory:
            raise RefusalError(413, f"{pixels / 1e6:.3g} megapixels take more memory than this service gives to a picture")
        self._count += 1
        if self._count % _RENEWED == 0:
            self._networks = Networks(self.settings.backend)
        result = carried_out(body, "alpha" if options.mask else None, request, self._networks)
        assert isinstance(result, RestoredImage)
        plan = "; ".join(plan.summary for plan in result.plans)
        return _picture(_with_metadata(result), options.format, {"Sfumato-Plan": header_value(plan)})

    def generate(self, query: Iterable[tuple[str, str]], _: bytes) -> Answer:
        """One image, or a contact sheet of several."""
        options, model = from_query(GenerateOptions, query), self._generator
        assert model is not None
        wanted = options.n * math.prod(model.network.size)
        if wanted > self.settings.max_pixels:
            raise too_many_pixels(wanted, self.settings, "the sheet")
        images = generate(
            model, options.n, seed=options.seed, label=options.label, truncation=options.truncation, device=self.settings.device
        )
        sheet = to_pixels(images.as_subclass(torch.Tensor), columns=options.columns)
        return _picture(files.Picture(pixels=sheet), options.format)

    def compress(self, query: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """The file of a codec, which `sfumato decompress` opens with the same model."""
        options, network = from_query(CompressOptions, query), self._codec
        assert network is not None
        request = CompressionRequest(**dataclasses.asdict(options))
        request.check()
        self._checked(body)
        data = compressed(source_of(body, keep_metadata=request.keep_metadata), lambda: network, request)
        return Answer(kind="application/octet-stream", body=data)

    def embed(self, query: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """The vector of a picture, as JSON."""
        options, network = from_query(EmbedOptions, query), self._embedder
        assert network is not None
        self._checked(body)
        pixels = decode.decode(io.BytesIO(body), _NAME, channels=network.channels, size=network.size, crop=options.crop)
        (vector,) = network.vectors(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]).tolist()
        content = {"model": weights.short_name(self.settings.embedder), "weights": network.weights, "vector": vector}
        return Answer(body=json.dumps(content).encode())

    def _checked(self, body: bytes) -> int:
        """The number of pixels of a picture. Raises RefusalError 413 for too many, ImageError for no picture."""
        pixels = math.prod(decode.facts(io.BytesIO(body), _NAME).size)
        if pixels > self.settings.max_pixels:
            raise too_many_pixels(pixels, self.settings)
        return pixels

    def _request(self, options: RestoreOptions) -> RestorationRequest:
        if options.method == PRIOR:
            raise SettingError(f"method = {PRIOR} takes minutes for a picture; run `sfumato restore` for it")
        scale = options.scale
        if options.task == "upscale" and scale is None:
            scale = float(self._restorer.network.scale) if self._restorer is not None and options.method is None else 2.0
        return RestorationRequest(
            task=options.task,
            model=self._restorer if options.method is None else None,
            method=options.method,
            scale=scale,
            quality=options.quality,
            look=options.look,
            strength=options.strength,
            noise=None if options.noise is None else options.noise / 255,
            blur=options.blur,
            find=options.find,
            alpha_mask=options.mask is not None,
            ensemble=options.ensemble,
            backend="torch" if options.method is not None else self.settings.backend,
            memory=self._memory,
            device=self.settings.device,
        )


def _nameless(model: LoadedModel[Role]) -> LoadedModel[Role]:
    """The model, which messages call by its short name and not by its path."""
    return dataclasses.replace(model, path=Path(weights.short_name(model.path)) if model.path is not None else None)


def _generator(settings: ServiceSettings) -> LoadedModel[Generator]:
    """The model that generates, as messages may name it."""
    return _nameless(opened_generator(with_backend(opened_generator(settings.generator), settings.backend)))


def _embedder(settings: ServiceSettings) -> Embedder:
    """The model that turns pictures into vectors, as messages may name it."""
    network = embedder(settings.embedder, backend=settings.backend, device=settings.device)
    return dataclasses.replace(network, model=_nameless(network.model))


def _with_metadata(image: Image.Image) -> files.Picture:
    """A PIL image as a picture with its profile, resolution and EXIF."""
    source = convert(image)
    alpha = None if source.alpha is None else as_pixels(source.alpha, source.stored)
    return files.Picture(pixels=as_pixels(source.images, source.stored), alpha=alpha, **vars(metadata.of_image(image)))


def _picture(picture: files.Picture, form: PictureFormat, headers: dict[str, str] | None = None) -> Answer:
    """The answer with a picture in one of the formats. Raises ImageError for a picture that the format cannot hold."""
    if picture.pixels.dtype == torch.uint16 and form not in ("png", "tiff"):
        raise ImageError(f"16-bit pixels can be written as png or tiff, and format = {form}; choose one of these")
    return Answer(kind=f"image/{form}", body=files.encoded(picture, form.upper()), headers=headers or {})
