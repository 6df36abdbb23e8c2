"""Networks whose computation is an exported graph. Each fills a role, so that every verb takes it."""

from collections.abc import Sequence
from typing import TypeVar, final

import torch
from torch import Tensor, nn

from sfumato.core.errors import FormatError, SettingError
from sfumato.core.record import Record
from sfumato.core.tensors import Images, Labels, Maps, PerImage, Planes, Vectors
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.restorer import Restorer
from sfumato.store.export.facts import ClassifierFacts, ExportFacts, FeatureFacts, GeneratorFacts, MetricFacts, RestorerFacts
from sfumato.store.export.sessions import Session

R = TypeVar("R", bound=Record)


class _Computation(nn.Module):
    """The graph of a file as a module: tensors to tensors, on the processor."""

    placeholder: Tensor

    def __init__(self, facts: ExportFacts, session: Session, fingerprint: bytes) -> None:
        super().__init__()
        self.names, self.session = [each.name for each in facts.inputs], session
        # The fingerprint stands for the weights where two networks are compared.
        self.register_buffer("fingerprint", torch.frombuffer(bytearray(fingerprint), dtype=torch.uint8))
        # Callers ask the first parameter of a network for its device.
        self.placeholder = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, *inputs: Tensor | None) -> list[Tensor]:
        """The outputs of the graph for its inputs, in the order of the facts."""
        pairs = zip(self.names, inputs, strict=True)
        arrays = {name: each.detach().cpu().contiguous().numpy() for name, each in pairs if each is not None}
        return [torch.from_numpy(output) for output in self.session.run(arrays)]


def network_of(facts: ExportFacts, session: Session, fingerprint: bytes) -> nn.Module:
    """The network of a file. Raises FormatError for facts that do not describe a network of a known role."""
    kinds = {
        "restorer": ExportedRestorer,
        "generator": ExportedGenerator,
        "style_generator": ExportedGenerator,
        "classifier": ExportedClassifier,
        "feature_extractor": ExportedFeatures,
        "encoder": ExportedFeatures,
        "perceptual_metric": ExportedMetric,
    }
    if facts.role.startswith("codec_"):
        raise FormatError(f"a part of a codec ({facts.part}), which a program of your own computes; name the model of the codec instead")
    if facts.role not in kinds:
        raise FormatError(f"role = {facts.role!r} is not one of {', '.join(kinds)}")
    return kinds[facts.role](facts, _Computation(facts, session, fingerprint)).eval()


def _read(kind: type[R], facts: ExportFacts) -> R:
    return kind.read(dict(facts.network), "its facts of the network")


@final
class ExportedRestorer(Restorer):
    """Restorer whose computation is an exported graph."""

    def __init__(self, facts: ExportFacts, computation: _Computation) -> None:
        super().__init__()
        own = _read(RestorerFacts, facts)
        self.channels, self.scale, self.pad_multiple = own.channels, own.scale, own.pad_multiple
        self.receptive_radius, self.conditioning = own.receptive_radius, own.conditioning
        self._tile_multiple, self._plane_channels, self._largest = own.tile_multiple, own.plane_channels, own.bytes_per_pixel / 4
        self.computation = computation

    @property
    def tile_multiple(self) -> int:
        return self._tile_multiple

    @property
    def plane_channels(self) -> int:
        return self._plane_channels

    def largest_tensors(self) -> float:
        return self._largest

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        inputs = [degraded.float(), None if planes is None else planes.float()][: 2 if self._plane_channels else 1]
        return self.computation(*inputs)[0].to(degraded.device)


@final
class ExportedGenerator(Generator):
    """Generator whose computation is an exported graph, with or without styles inside."""

    def __init__(self, facts: ExportFacts, computation: _Computation) -> None:
        super().__init__()
        own = _read(GeneratorFacts, facts)
        self.latent_dim, self.channels, self.size, self.classes = own.latent_dim, own.channels, own.size, own.classes
        self._noise_shapes, self._has_styles = list(own.noise_shapes), facts.role == "style_generator"
        self.computation = computation

    def noise_shapes(self) -> list[tuple[int, int]]:
        return self._noise_shapes

    def sample(self, z: Vectors, labels: Labels | None = None) -> Images:
        return self.sample_with(z, labels)

    def sample_with(self, z: Vectors, labels: Labels | None = None, *, truncation: float = 1.0, noise: Sequence[Maps] = ()) -> Images:
        if not self._has_styles:
            if truncation != 1:
                raise SettingError(f"truncation = {truncation:g} needs a network with styles, and this file has none; leave it at 1")
            return self.computation(z.float(), *([labels] if self.classes else []))[0]
        inputs = [z.float(), *([labels] if self.classes else []), torch.tensor([float(truncation)])]
        if self._noise_shapes:
            planes = list(noise) or [torch.zeros(len(z), 1, *size) for size in self._noise_shapes]
            inputs += [torch.tensor([0.0 if noise else 1.0]), *planes]
        return self.computation(*inputs)[0]


@final
class ExportedClassifier(Classifier):
    """Classifier whose computation is an exported graph."""

    def __init__(self, facts: ExportFacts, computation: _Computation) -> None:
        super().__init__()
        own = _read(ClassifierFacts, facts)
        self.channels, self.size, self.classes, self.feature_dim = own.channels, own.size, own.classes, own.feature_dim
        self._kind, self.computation = own.kind, computation

    @property
    def kind(self) -> str:
        return self._kind

    def classify(self, images: Images) -> Vectors:
        return self.computation(images.float())[0]

    def features(self, images: Images) -> Vectors:
        return self.computation(images.float())[1]


@final
class ExportedFeatures(FeatureExtractor):
    """Feature extractor whose computation is an exported graph: that of a backbone, or the encoder of a latent variable model."""

    def __init__(self, facts: ExportFacts, computation: _Computation) -> None:
        super().__init__()
        own = _read(FeatureFacts, facts)
        self.channels, self.size, self.feature_dim = own.channels, own.size, own.feature_dim or own.latent_dim
        self._kind, self._labelled, self.computation = own.kind, own.classes > 0, computation

    @property
    def kind(self) -> str:
        return self._kind

    def misfit(self, size: tuple[int, int], channels: int) -> str:
        return "" if channels == self.channels else f"takes images of {self.channels} channels, the model's have {channels}"

    def features(self, images: Images) -> Vectors:
        if tuple(images.shape[2:]) != self.size:
            raise SettingError(f"images are {tuple(images.shape[2:])}; this file takes images of height and width {self.size} alone")
        if self._labelled:
            raise SettingError("this file is the encoder of a network with classes and needs the label of each image, which features lack")
        return self.computation(images.float())[0]


@final
class ExportedMetric(PerceptualMetric):
    """Perceptual metric whose computation is an exported graph. It has no gradient."""

    def __init__(self, facts: ExportFacts, computation: _Computation) -> None:
        super().__init__()
        own = _read(MetricFacts, facts)
        self.channels, self.min_side, self.computation = own.channels, own.min_side, computation

    def distance(self, images: Images, reference: Images) -> PerImage:
        return self.computation(images.float(), reference.float())[0]
