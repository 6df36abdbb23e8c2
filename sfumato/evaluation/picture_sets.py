"""Distances of a set of pictures to a set of real ones, whatever program made them, beside the floor: real ones against real ones."""

from collections import defaultdict
from pathlib import Path
from typing import TypeGuard

import torch

from sfumato.core.errors import DataError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Vectors, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.listing import is_run
from sfumato.data.scenes import load_scenes
from sfumato.evaluation.features import ComparisonFacts, HasShape, check_fit, feature_facts, feature_vectors, opened_features
from sfumato.evaluation.generators import LEAST, floor_of_halves, reference
from sfumato.evaluation.report import Report
from sfumato.evaluation.stages import distance_operations, operations, stages
from sfumato.io import archive
from sfumato.metrics.base import device_of
from sfumato.metrics.distribution import distribution_report
from sfumato.models.roles.feature_extractor import FeatureExtractor
from sfumato.store.loaded import Model
from sfumato.store.weights import bundled

_FEATURES = "name the network in whose features the pictures are compared with --features, such as squeezenet or inception"


def is_pictures(which: Model) -> TypeGuard[str | Path]:
    """Whether `which`, in the place of a model, is a folder or a zip of pictures: no model's name, and no folder of a training run."""
    if not isinstance(which, str | Path) or (isinstance(which, str) and which in bundled()):
        return False
    path = Path(which)
    if path.is_dir():
        return not (path / "model.safetensors").is_file() and not is_run(path)
    return path.is_file() and archive.is_zip(path)


def evaluate_pictures(
    pictures: str | Path, data: str | Path | Dataset | Scenes | None, *, features: Model | None, device: torch.device, count: int, seed: int
) -> Report:
    """Distances of all `pictures` to all of `data`, and as the floor those of one half of `data`, at most `count`, to the other.

    Pictures are compared as they are, at their own sizes, in the features of the network `features`. `seed` chooses the halves. Raises
    SettingError without `features`, or if they are not for such pictures, and DataError for fewer than 20 pictures.
    """
    if data is None:
        raise SettingError(
            f"{pictures} is a folder of pictures; for PSNR and SSIM name their originals with --reference, "
            "for FID and others real ones with --data"
        )
    if features is None:
        raise SettingError(_FEATURES)
    extractor = opened_features(features).to(device)
    network = extractor.network
    channels = network.channels if isinstance(network, HasShape) else 3
    own, real = (_loaded(source, channels) for source in (pictures, data))
    for each in (own, real):
        _check(each, network)
    costs = {
        "features of real pictures": len(real) * _operations(network, real),
        "features of the pictures": len(own) * _operations(network, own),
        "distances": distance_operations(len(real), len(own), network.feature_dim),
        "floor": distance_operations(len(real) // 2, len(real) // 2, network.feature_dim),
    }
    facts = ComparisonFacts(**feature_facts(extractor), reference=reference(real))
    with stages("stages", costs) as stage:
        with stage("features of real pictures"):
            real_vectors = _vectors(network, real)
        with stage("features of the pictures"):
            vectors = _vectors(network, own)
        with stage("distances"):
            report = Report(distribution_report(real_vectors, vectors, rng=seeded_generator(seed, "report"), **facts))
        with stage("floor"):
            report += floor_of_halves(real_vectors, facts, count=count, seed=seed)
    return report


def _loaded(source: str | Path | Dataset | Scenes, channels: int) -> Dataset | Scenes:
    return source if isinstance(source, Dataset | Scenes) else load_scenes(source, channels=channels, part="all", largest=None)


def _check(pictures: Dataset | Scenes, network: FeatureExtractor) -> None:
    """Raises DataError for too few pictures, SettingError for pictures of a size that the network does not take."""
    if len(pictures) < LEAST:
        raise DataError(f"{pictures.name} has {len(pictures)} pictures; for a distance of two sets {LEAST} are the least")
    for picture in pictures.pictures:
        check_fit(network, (picture.shape[1], picture.shape[2]), picture.shape[0])


def _operations(network: FeatureExtractor, pictures: Dataset | Scenes) -> float:
    """The arithmetic operations of the features of one picture, the first."""
    image = to_images(pictures.pictures[0][None]).to(device_of(network, torch.device("cpu")))
    return operations(network, lambda: network.features(image))


def _vectors(network: FeatureExtractor, pictures: Dataset | Scenes) -> Vectors:
    """The features of all pictures, those of one size together."""
    rows_by_size = defaultdict[torch.Size, list[int]](list)
    for row, picture in enumerate(pictures.pictures):
        rows_by_size[picture.shape].append(row)
    vectors = torch.empty(len(pictures), network.feature_dim)
    for rows in rows_by_size.values():
        vectors[rows] = feature_vectors(network, torch.stack([pictures.pictures[row] for row in rows]))
    return vectors
