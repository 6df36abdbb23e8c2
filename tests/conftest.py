"""Shapes and types are checked at run time in tests, and only there."""

import jaxtyping

jaxtyping.install_import_hook("sfumato", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import dataclasses  # noqa: E402
import itertools  # noqa: E402
import os  # noqa: E402
import struct  # noqa: E402
from pathlib import Path  # noqa: E402

# Verbs set the threads of this process; several processes of tests would wait for each other with more than one each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import ImageFile  # noqa: E402

from sfumato.core.plugins import Plugins  # noqa: E402
from sfumato.core.registry import FAMILIES  # noqa: E402
from sfumato.data import augment  # noqa: E402
from sfumato.data.dataset import Dataset  # noqa: E402
from sfumato.degradations import chain, impulse, noise  # noqa: E402
from sfumato.models import MODELS, classifier, dcgan, gated, vae  # noqa: E402
from sfumato.objectives import adversarial, cross_entropy, elbo, restoration  # noqa: E402
from sfumato.train.settings import TrainSettings  # noqa: E402

collect_ignore = ["released"]
"""What wrote the files of earlier versions need not run, nor be imported, with this one."""
torch.set_num_threads(1)
# No test fails because the machine does other work.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


SLOW = (
    "test_it_fills_in_better_than_a_guess",
    "test_what_lies_beyond_its_context_does_not_matter[swinir]",
    "test_what_lies_beyond_its_context_does_not_matter[scunet]",
    "test_names_of_a_family_in_other_shapes_are_refused_in_a_line[BSRGAN's RRDBNet]",
    "test_names_of_a_family_in_other_shapes_are_refused_in_a_line[BasicSR's RRDBNet x2]",
    "test_names_of_a_family_in_other_shapes_are_refused_in_a_line[ESRGAN's RRDBNet]",
    "test_a_generated_image_is_found_again[stylegan]",
    "test_what_was_drawn_is_left_as_it_is[1]",
    "test_folders_films_and_noise",
    "test_the_transforms_of_a_codec_are_exported",
    "test_the_examples_of_contributing_train_as_an_installed_package",
)
"""The slowest tests, from 5 to 15 seconds each; quicker tests of the same rules run always."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the slowest tests, unless they are asked for."""
    if os.environ.get("SFUMATO_SLOW"):
        return
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.skip(reason="one of the slowest tests; SFUMATO_SLOW=1 scripts/check runs them"))


@pytest.fixture
def decoded(monkeypatch):
    """The sizes, (width, height), of the pictures whose pixels Pillow has decoded so far: a function without arguments."""
    sizes, load = set(), ImageFile.ImageFile.load

    def noted(picture):
        sizes.add(picture.size)
        return load(picture)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return lambda: sizes


@pytest.fixture(autouse=True)
def forgetful(monkeypatch, tmp_path_factory):
    """Each test begins without speeds of earlier runs, and leaves none to others."""
    path = tmp_path_factory.getbasetemp() / "speeds" / f"{next(_tests)}.json"
    monkeypatch.setattr("sfumato.train.speeds._path", lambda: path)


_tests = itertools.count()


@pytest.fixture
def apart(monkeypatch):
    """What the test registers is forgotten after it, and plug-ins are loaded once more in it."""
    for name in ("_classes", "aliases", "_registrars"):
        monkeypatch.setattr(FAMILIES, name, dict(getattr(FAMILIES, name)))
    monkeypatch.setattr(FAMILIES, "_plugins", Plugins())
    monkeypatch.setattr("sfumato.recipes._REGISTERED", {})


@pytest.fixture
def photos():
    """Eight 16x16 smooth colour images in [0, 1]."""
    t = torch.linspace(0, 1, 16)
    colour = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return (colour * t[None, None, :, None] * 0.5 + 0.5 * t[None, None, None, :]).contiguous()


@pytest.fixture
def drawn():
    """A function (channels, h, w) to one image of overlapping boxes: edges and even places, as photographs have them."""

    def draw(channels, h, w):
        rng = torch.Generator().manual_seed(0)
        image = torch.full((1, channels, h, w), 0.5)
        for y, x, tall, wide in (torch.rand(60, 4, generator=rng) * torch.tensor([h, w, h / 3, w / 3])).int().tolist():
            image[:, :, y : y + tall + 2, x : x + wide + 2] = torch.rand(channels, 1, 1, generator=rng)
        return image

    return draw


@pytest.fixture(scope="session")
def real_data():
    """Folder of real data sets; the test is skipped where there is none."""
    folder = os.environ.get("SFUMATO_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SFUMATO_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def bars():
    """64 grey 8x8 images in three classes: a bright bar that lies, stands, or is not there, in noise."""
    rng = torch.Generator().manual_seed(0)
    pixels, labels = torch.randint(0, 100, (64, 1, 8, 8), generator=rng, dtype=torch.uint8), torch.arange(64) % 3
    for i, label in enumerate(labels.tolist()):
        if label < 2:
            (pixels[i, 0] if label else pixels[i, 0].T)[i % 8] += 150
    return Dataset(name="bars", pixels=pixels, labels=labels, classes=("lying", "standing", "none"), terms="drawn for tests")


@pytest.fixture(scope="module")
def unchecked():
    """Leaves out the checks of types and shapes, a quarter of the time of tests that compare whole trainings. Other tests make them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def bars_file(bars, tmp_path_factory):
    """The bars as IDX files, for processes to read."""
    folder = tmp_path_factory.mktemp("bars")
    for name, values in (("images-idx3-ubyte", bars.pixels[:, 0]), ("labels-idx1-ubyte", bars.labels.to(torch.uint8))):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / name).write_bytes(header + values.numpy().tobytes())
    return str(folder / "images-idx3-ubyte")


@pytest.fixture(scope="session")
def tiny():
    """The settings of a run of a few seconds: `tiny("gan", images=80)`."""

    def settings(kind, **changes):
        how = (
            chain.Config(links=(noise.Config(sigma=(0.0, 0.2)), impulse.Config()), chances=(1.0, 0.5))
            if kind == "restorer"
            else chain.Config()
        )
        model, objective = {
            "restorer": (
                gated.Config(channels=1, width=4, encoder=(1,), middle=1, decoder=(1,), extremes=True),
                restoration.Config(),
            ),
            "classifier": (classifier.Config(widths=(4, 8), hidden=(8,), dropout=0.3), cross_entropy.Config(smoothing=0.1)),
            "vae": (vae.Config(latent_dim=3, width=4, mixture=2), elbo.Config(warmup=40)),
            "gan": (
                dcgan.Config(latent_dim=4, width=4, discriminator_width=4),
                adversarial.Config(penalty_every=2, augment=augment.Config(shift=0.125, cutout=0.3)),
            ),
        }[kind]
        base = TrainSettings(
            model=model,
            objective=objective,
            degrade=how,
            images=160,
            batch=8,
            lr=3e-3,
            lr_warmup=16,
            ema=40,
            precision="fp32",
            log_every=32,
            sample_every=64,
            save_every=48,
        )
        return dataclasses.replace(base, **changes)

    return settings


@pytest.fixture(scope="session")
def untrained():
    """A small generator with random weights that were never trained: `untrained("stylegan", classes=3)`, in 32 x 32 colours."""

    def build(kind, *, seed=0, classes=0, size=(32, 32), channels=3, **changes):
        sizes = {
            "stylegan": {"latent_dim": 16, "style_dim": 16, "mapping": 2, "width": 8, "discriminator_width": 8, "max_width": 16},
            "dcgan": {"latent_dim": 16, "width": 8, "discriminator_width": 8, "max_width": 32},
            "vae": {"latent_dim": 16, "width": 8, "max_width": 32},
        }[kind]
        torch.manual_seed(seed)
        config = MODELS[kind](size=size, channels=channels, classes=classes, **sizes | changes)
        network = config.build().eval()
        network.config = config
        for name, weight in network.named_parameters():
            if kind == "stylegan" and name.endswith("strength"):
                torch.nn.init.constant_(weight, 0.1)
        return network.requires_grad_(False)

    return build
