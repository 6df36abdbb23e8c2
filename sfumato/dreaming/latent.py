"""Dreaming through a generator: what moves is a style of a trained network and not the pixels, so that the dream stays one of its images.

    style ─ generator ─ image ─ as large as the eyes are used to ─ slope ─ Adam on the style, held near where it began

After Nguyen et al. 2016 (https://arxiv.org/abs/1605.09304), in whose words the generator is a prior on images.
"""

import dataclasses

import torch
from torch.nn import functional as F

from sfumato.core.deprecation import renamed_arguments
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images
from sfumato.dreaming.dream import Dream, Dreamt, Moment, Tell, layer_ascent
from sfumato.dreaming.feature_extractor import DreamNetwork, dream_network
from sfumato.dreaming.gradient import Ascent
from sfumato.editing.inversion import DRAWS, spread_of
from sfumato.editing.latent_image import LatentImage, drawn, render
from sfumato.generation.generate import sampler, styled
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store.loaded import LoadedModel, Model

RATE, HOLD = 0.05, 0.02
"""Adam's step, in deviations of the generator's own styles, and the weight of what holds the style, a share of the first slope."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The dream, and the styles that make it."""

    dreamt: Dreamt
    subjects: tuple[LatentImage, ...]


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
) -> Found:
    """`n` images of a generator, of the seeds from `how.seed` on, moved to where the network sees more of what is wished.

    `shows` is the generator's own class, where it knows such. Octaves, jitter and all else that is about pixels has no part in it. Raises
    SettingError as `dream` and `generate` do.
    """
    options = options or Dream()
    seeing = network if isinstance(network, DreamNetwork) else dream_network(network, device=device)
    where = seeing.device
    making = sampler(generator).to(where)
    h, w = making.network.size
    scale = max(1, -(-seeing.side // min(h, w)))
    ascent = layer_ascent(seeing, options, (h * scale, w * scale))
    made, before, after, subjects = [], [], [], []
    for seed in range(options.seed, options.seed + n):
        begun = drawn(making, seed, label=shows)
        before.append(ascent.amount(enlarged(render(making, begun), scale).to(where)))
        found = _moved(making, begun, ascent, options, scale, where, on_progress)
        image = render(making, found)
        after.append(ascent.amount(enlarged(image, scale).to(where)))
        made.append(image)
        subjects.append(found)
    return Found(dreamt=Dreamt(images=torch.cat(made), before=tuple(before), after=tuple(after)), subjects=tuple(subjects))


def enlarged(images: Images, scale: int) -> Images:
    """`images` with sides `scale` times as long, as eyes for larger ones want them."""
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
    return dataclasses.replace(begun, styles=styles, origin={**begun.origin, "dreamed": steps})
