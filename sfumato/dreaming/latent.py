"""Dreaming through a generator: the style of a trained generator moves, not the pixels, so that the dream stays one of its images.

    style ─ generator ─ image ─ at the size of the network's training images ─ slope ─ Adam on the style, held near its start

After Nguyen et al. 2016 (https://arxiv.org/abs/1605.09304), where the generator is a prior on images.
"""

import dataclasses
from pathlib import Path

import torch
from torch.nn import functional as F

from sfumato.core.deprecation import renamed_arguments
from sfumato.core.json_value import Facts
from sfumato.core.paths import inside
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Resized
from sfumato.dreaming.dream import Dream, Dreamt, Moment, Tell, layer_ascent, resolved
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.dreaming.gradient import Ascent
from sfumato.editing.inversion import DRAWS, spread_of
from sfumato.editing.latent_image import LatentImage, drawn, render
from sfumato.generation.generate import sampler, styled
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store.loaded import LoadedModel, Model

RATE, HOLD = 0.05, 0.02
"""Learning rate of Adam, in standard deviations of the generator's styles; weight of the pull to the start, relative to the first slope."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentDream:
    """Dreams through a generator, with their styles."""

    dreamt: Dreamt
    subjects: tuple[LatentImage, ...]

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the images as `Dreamt.save` does. Returns the paths."""
        return self.dreamt.save(path, overwrite=overwrite)


@renamed_arguments(tell="on_progress")
def dream_through(
    generator: Model,
    network: Model | DreamNetwork | None = None,
    options: Dream | None = None,
    *,
    n: int = 1,
    shows: str | None = None,
    device: str = "auto",
    on_progress: Tell = lambda _: None,
) -> LatentDream:
    """`n` images of a generator, with seeds from `options.seed` on, moved to raise the objectives of the network.

    `shows` is a class of the generator, if it has classes. Octaves, jitter and other settings of pixels are ignored. Raises SettingError as
    `dream` and `generate` do.
    """
    options = options or Dream()
    seeing = network if isinstance(network, DreamNetwork) else dream_network(network, device=device)
    where = seeing.device
    making = sampler(generator).to(where)
    h, w = making.network.size
    scale = max(1, -(-seeing.side // min(h, w)))
    ascent = layer_ascent(seeing, options, (h * scale, w * scale))
    images, before, after, subjects = [], [], [], []
    for seed in range(options.seed, options.seed + n):
        begun = drawn(making, seed, label=shows)
        before.append(ascent.amount(enlarged(render(making, begun), scale).to(where)))
        moved = _moved(making, begun, ascent, options, scale, where, on_progress)
        image = render(making, moved)
        after.append(ascent.amount(enlarged(image, scale).to(where)))
        images.append(image)
        subjects.append(moved)
    place = generator if isinstance(generator, str | Path) else making.path
    facts: Facts = {"through": str(making) if place is None else inside(place)}
    facts |= {"shows": subjects[0].origin["label"] if subjects else None}
    dreamt = Dreamt(
        images=torch.cat(images),
        before=tuple(before),
        after=tuple(after),
        network=seeing,
        options=resolved(options, seeing, fresh=False),
        facts=facts,
    )
    return LatentDream(dreamt=dreamt, subjects=tuple(subjects))


def enlarged(images: Images, scale: int) -> Resized:
    """`images` with sides `scale` times as long, by bicubic interpolation."""
    return images if scale == 1 else F.interpolate(images, scale_factor=scale, mode="bicubic").clamp(0, 1)


def _moved(
    making: LoadedModel[StyleGenerator],
    begun: LatentImage,
    ascent: Ascent,
    options: Dream,
    scale: int,
    device: torch.device,
    on_progress: Tell,
) -> LatentImage:
    labels = None if begun.labels is None else begun.labels.to(device)
    z = latents(making.network, DRAWS, seeded_generator(0, "dream"))
    spread = spread_of(styled(making, z, None if labels is None else labels.cpu().expand(DRAWS))[:, :1], device)
    start = ((begun.styles.to(device) - spread.mean) / spread.deviation).detach()
    x = start.clone().requires_grad_()
    synthesis = SynthesisOptions(noise=None if begun.noise is None else [plane.to(device) for plane in begun.noise])
    steps, hold = options.steps or 100, 0.0
    optimiser = torch.optim.Adam([x], lr=RATE * options.strength)
    for done in range(1, steps + 1):
        with torch.enable_grad():
            image = enlarged(making.network.synthesize(spread.mean + spread.deviation * x, labels, synthesis), scale)
            amount, slope = ascent.slope(image.detach())
            optimiser.zero_grad()
            image.backward(-slope)
        assert x.grad is not None
        hold = hold or HOLD * x.grad.norm().item()
        x.grad += hold * (x.detach() - start)
        optimiser.step()
        on_progress(Moment(done, steps, amount, image.detach()))
    styles = (spread.mean + spread.deviation * x.detach()).cpu()
    return begun.moved(styles, dreamed=steps)
