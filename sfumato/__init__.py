"""Generate, edit and restore images with neural networks that can be trained on a laptop.

    import sfumato as sf
    sf.generate("fashion", n=16, seed=0, label="bag").save("bags.png")  # a tensor (16, 1, 28, 28) in [0, 1]
    sf.restore("scan.jpg").save("clean.png")                           # a path, bytes, a file, a PIL image, an array or a tensor
    network = sf.fit(sf.recipe("dcgan"), run="runs/photos")            # the function of `sfumato train`
    sf.evaluate("runs/photos").save("figures.json")

docs/python-api.md shows every verb. Names are imported when first used. Imported before torch, it lets waiting OpenMP threads sleep early.
"""

import importlib
import warnings
from typing import TYPE_CHECKING

from sfumato.core.after_import import after_import
from sfumato.core.openmp import shorten_waits
from sfumato.core.pillow_format import register_with_pillow

if TYPE_CHECKING:
    from sfumato.analysis.diagnose import Diagnosis, diagnose
    from sfumato.analysis.diagnose import Source as DiagnosisSource
    from sfumato.batch.manifest import Entry as PictureEntry
    from sfumato.batch.workers import Workers
    from sfumato.compression.compress import compress
    from sfumato.compression.decompress import DecompressedImage, decompress
    from sfumato.compression.files import compress_pictures, decompress_files
    from sfumato.compression.request import CompressionRequest
    from sfumato.core.config import override
    from sfumato.core.errors import (
        BudgetSpentError,
        CheckpointError,
        DataError,
        DivergenceError,
        DownloadError,
        FormatError,
        ImageError,
        MissingExtraError,
        ProcessError,
        SettingError,
        SfumatoError,
        StorageError,
        UnknownNameError,
    )
    from sfumato.core.registry import register
    from sfumato.core.rng import Draws
    from sfumato.data.dataset import Dataset, Scenes
    from sfumato.data.load import load as load_dataset
    from sfumato.data.mixed import MixedDataset
    from sfumato.data.scenes import load_scenes
    from sfumato.degradations import DEGRADATIONS
    from sfumato.degradations.base import Degradation, Degraded, degrade
    from sfumato.demonstration.demo import demo
    from sfumato.dreaming.atlas import Atlas, features
    from sfumato.dreaming.dream import Dream, Dreamt, dream
    from sfumato.dreaming.dream import Moment as DreamMoment
    from sfumato.dreaming.latent import LatentDream, dream_through
    from sfumato.editing.directions import Directions, directions
    from sfumato.editing.directions import load as load_directions
    from sfumato.editing.drag import Dragged, drag
    from sfumato.editing.edit import Edited, Move, edit, replay
    from sfumato.editing.examples import from_examples
    from sfumato.editing.inversion import Projection, project
    from sfumato.editing.latent_image import LatentImage, latent_image, render
    from sfumato.editing.mix import Mixtures, mix
    from sfumato.embeddings.cluster import Clusters, cluster
    from sfumato.embeddings.duplicates import Duplicates, duplicates
    from sfumato.embeddings.embed import embed
    from sfumato.embeddings.index import Index, load_index
    from sfumato.embeddings.like import seeds_like
    from sfumato.embeddings.search import Matches, search
    from sfumato.embeddings.sorting import sort_into
    from sfumato.evaluation.audit import Audit, Verdict, audit
    from sfumato.evaluation.augmentation import Augmented, augment, augmentation_verdict
    from sfumato.evaluation.augmentation_verdict import AugmentationVerdict, Gain
    from sfumato.evaluation.benchmark import evaluate_restorer
    from sfumato.evaluation.codecs import CodecComparison, evaluate_codec
    from sfumato.evaluation.evaluate import evaluate
    from sfumato.evaluation.pairs import evaluate_pairs
    from sfumato.evaluation.report import Report
    from sfumato.generation.generate import generate
    from sfumato.generation.interpolate import interpolate
    from sfumato.generation.result import Frames, GeneratedImages
    from sfumato.io.files import Picture, write
    from sfumato.io.inputs import PictureInput, read
    from sfumato.metrics.base import Measurement, Protocol
    from sfumato.models import MODELS
    from sfumato.objectives import OBJECTIVES
    from sfumato.recipes import recipe, register_recipe
    from sfumato.recipes import recipes as list_recipes
    from sfumato.restoration.examined import examine
    from sfumato.restoration.film import restore_film
    from sfumato.restoration.pictures import restore_pictures
    from sfumato.restoration.plan import RestorationPlan
    from sfumato.restoration.request import RestorationRequest
    from sfumato.restoration.restore import restore
    from sfumato.restoration.result import RestoredArray, RestoredImage, RestoredTensor
    from sfumato.restoration.tiles import apply_restorer
    from sfumato.service.server import serve
    from sfumato.service.settings import ServiceSettings
    from sfumato.store.catalogue import Obtained, get_weights
    from sfumato.store.export.backend import with_backend
    from sfumato.store.export.export import Exported, export, verify
    from sfumato.store.export.facts import ExportFacts, Parity
    from sfumato.store.hub.push import Pushed, push
    from sfumato.store.importing import import_weights
    from sfumato.store.weights import bundled, load
    from sfumato.store.zoo import Entry as ModelEntry
    from sfumato.store.zoo import list_models
    from sfumato.train.log import Callback
    from sfumato.train.loop import fit
    from sfumato.train.settings import TrainSettings
    from sfumato.tuning.result import TuningResult
    from sfumato.tuning.tune import tune

__version__ = "0.2.0"

_HOMES = {
    "Atlas": "dreaming.atlas",
    "Audit": "evaluation.audit",
    "AugmentationVerdict": "evaluation.augmentation_verdict",
    "Augmented": "evaluation.augmentation",
    "Callback": "train.log",
    "Clusters": "embeddings.cluster",
    "DEGRADATIONS": "degradations",
    "CodecComparison": "evaluation.codecs",
    "CompressionRequest": "compression.request",
    "Dataset": "data.dataset",
    "DecompressedImage": "compression.decompress",
    "Degradation": "degradations.base",
    "Degraded": "degradations.base",
    "Diagnosis": "analysis.diagnose",
    "DiagnosisSource": "analysis.diagnose:Source",
    "Directions": "editing.directions",
    "Dragged": "editing.drag",
    "Draws": "core.rng",
    "Dream": "dreaming.dream",
    "DreamMoment": "dreaming.dream:Moment",
    "Dreamt": "dreaming.dream",
    "Duplicates": "embeddings.duplicates",
    "Index": "embeddings.index",
    "LatentDream": "dreaming.latent",
    "Edited": "editing.edit",
    "ExportFacts": "store.export.facts",
    "Exported": "store.export.export",
    "Frames": "generation.result",
    "Gain": "evaluation.augmentation_verdict",
    "GeneratedImages": "generation.result",
    "LatentImage": "editing.latent_image",
    "MODELS": "models",
    "Matches": "embeddings.search",
    "Measurement": "metrics.base",
    "MixedDataset": "data.mixed",
    "Mixtures": "editing.mix",
    "ModelEntry": "store.zoo:Entry",
    "Move": "editing.edit",
    "OBJECTIVES": "objectives",
    "Picture": "io.files",
    "PictureEntry": "batch.manifest:Entry",
    "PictureInput": "io.inputs",
    "Obtained": "store.catalogue",
    "Parity": "store.export.facts",
    "Pushed": "store.hub.push",
    "Projection": "editing.inversion",
    "Protocol": "metrics.base",
    "Report": "evaluation.report",
    "RestorationPlan": "restoration.plan",
    "RestorationRequest": "restoration.request",
    "RestoredArray": "restoration.result",
    "RestoredImage": "restoration.result",
    "RestoredTensor": "restoration.result",
    "Scenes": "data.dataset",
    "ServiceSettings": "service.settings",
    "TrainSettings": "train.settings",
    "TuningResult": "tuning.result",
    "Verdict": "evaluation.audit",
    "Workers": "batch.workers",
    "apply_restorer": "restoration.tiles",
    "audit": "evaluation.audit",
    "augment": "evaluation.augmentation",
    "augmentation_verdict": "evaluation.augmentation",
    "bundled": "store.weights",
    "cluster": "embeddings.cluster",
    "compress": "compression.compress",
    "compress_pictures": "compression.files",
    "decompress": "compression.decompress",
    "decompress_files": "compression.files",
    "degrade": "degradations.base",
    "demo": "demonstration.demo",
    "diagnose": "analysis.diagnose",
    "directions": "editing.directions",
    "drag": "editing.drag",
    "dream": "dreaming.dream",
    "dream_through": "dreaming.latent",
    "duplicates": "embeddings.duplicates",
    "edit": "editing.edit",
    "embed": "embeddings.embed",
    "evaluate": "evaluation.evaluate",
    "evaluate_codec": "evaluation.codecs",
    "examine": "restoration.examined",
    "export": "store.export.export",
    "get_weights": "store.catalogue",
    "push": "store.hub.push",
    "evaluate_pairs": "evaluation.pairs",
    "evaluate_restorer": "evaluation.benchmark",
    "features": "dreaming.atlas",
    "fit": "train.loop",
    "from_examples": "editing.examples",
    "generate": "generation.generate",
    "import_weights": "store.importing",
    "interpolate": "generation.interpolate",
    "latent_image": "editing.latent_image",
    "list_models": "store.zoo",
    "list_recipes": "recipes:recipes",
    "load": "store.weights",
    "load_dataset": "data.load:load",
    "load_directions": "editing.directions:load",
    "load_index": "embeddings.index",
    "load_scenes": "data.scenes",
    "mix": "editing.mix",
    "override": "core.config",
    "project": "editing.inversion",
    "read": "io.inputs",
    "recipe": "recipes",
    "register": "core.registry",
    "register_recipe": "recipes",
    "render": "editing.latent_image",
    "replay": "editing.edit",
    "restore": "restoration.restore",
    "restore_film": "restoration.film",
    "restore_pictures": "restoration.pictures",
    "search": "embeddings.search",
    "seeds_like": "embeddings.like",
    "serve": "service.server",
    "sort_into": "embeddings.sorting",
    "tune": "tuning.tune",
    "verify": "store.export.export",
    "with_backend": "store.export.backend",
    "write": "io.files",
}
"""The module of each public name, and after a colon the name that it has there if that is another one."""

_EARLIER = {"restored": "apply_restorer"}
"""Names of earlier versions; each warns and returns the object of the present name."""

__all__ = [
    "DEGRADATIONS",
    "MODELS",
    "OBJECTIVES",
    "Atlas",
    "Audit",
    "AugmentationVerdict",
    "Augmented",
    "BudgetSpentError",
    "Callback",
    "CheckpointError",
    "Clusters",
    "CodecComparison",
    "CompressionRequest",
    "DataError",
    "Dataset",
    "DecompressedImage",
    "Degradation",
    "Degraded",
    "Diagnosis",
    "DiagnosisSource",
    "Directions",
    "DivergenceError",
    "DownloadError",
    "Dragged",
    "Draws",
    "Dream",
    "DreamMoment",
    "Dreamt",
    "Duplicates",
    "Edited",
    "ExportFacts",
    "Exported",
    "FormatError",
    "Frames",
    "Gain",
    "GeneratedImages",
    "ImageError",
    "Index",
    "LatentDream",
    "LatentImage",
    "Matches",
    "Measurement",
    "MissingExtraError",
    "MixedDataset",
    "Mixtures",
    "ModelEntry",
    "Move",
    "Obtained",
    "Parity",
    "Picture",
    "PictureEntry",
    "PictureInput",
    "ProcessError",
    "Projection",
    "Protocol",
    "Pushed",
    "Report",
    "RestorationPlan",
    "RestorationRequest",
    "RestoredArray",
    "RestoredImage",
    "RestoredTensor",
    "Scenes",
    "ServiceSettings",
    "SettingError",
    "SfumatoError",
    "StorageError",
    "TrainSettings",
    "TuningResult",
    "UnknownNameError",
    "Verdict",
    "Workers",
    "apply_restorer",
    "audit",
    "augment",
    "augmentation_verdict",
    "bundled",
    "cluster",
    "compress",
    "compress_pictures",
    "decompress",
    "decompress_files",
    "degrade",
    "demo",
    "diagnose",
    "directions",
    "drag",
    "dream",
    "dream_through",
    "duplicates",
    "edit",
    "embed",
    "evaluate",
    "evaluate_codec",
    "evaluate_pairs",
    "evaluate_restorer",
    "examine",
    "export",
    "features",
    "fit",
    "from_examples",
    "generate",
    "get_weights",
    "import_weights",
    "interpolate",
    "latent_image",
    "list_models",
    "list_recipes",
    "load",
    "load_dataset",
    "load_directions",
    "load_index",
    "load_scenes",
    "mix",
    "override",
    "project",
    "push",
    "read",
    "recipe",
    "register",
    "register_recipe",
    "render",
    "replay",
    "restore",
    "restore_film",
    "restore_pictures",
    "search",
    "seeds_like",
    "serve",
    "sort_into",
    "tune",
    "verify",
    "with_backend",
    "write",
]
_HOMES |= {name: "core.errors" for name in __all__ if name.endswith("Error")}


shorten_waits()
after_import("PIL.Image", register_with_pillow)


def __getattr__(name: str) -> object:
    if name in _EARLIER:
        warnings.warn(f"sfumato.{name} is now called sfumato.{_EARLIER[name]}", DeprecationWarning, stacklevel=2)
        name = _EARLIER[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"sfumato.{module}"), attribute or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
