"""An objective of your own: a generator trained without a discriminator, by moment matching (Li et al. 2015).

    python own_objective.py budget=5min
    python own_objective.py data=photos/ model.size=[32,32]

Arguments are settings of the recipe `dcgan`. Without `data` it learns letters that the toolkit draws.
"""

import dataclasses
import sys
from typing import Annotated

import torch

import sfumato as sf
from sfumato.core.config import Range, settings
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.objectives.base import Batch, GeneratorObjective, Losses, Phase


@sf.register
@settings
class MomentMatching(GeneratorObjective[StyleGenerator]):
    """Maximum mean discrepancy between generated and real images, with a sum of rational kernels."""

    id = "moment_matching"
    scale: Annotated[float, Range(0.001, 1000)] = 0.1
    """Mean squared difference of two pixels at which images stop to count as alike."""

    def phases(self, model: StyleGenerator) -> list[Phase]:
        def alike(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            squared = (a[:, None] - b[None]).square().mean(2)
            return torch.stack([1 / (1 + squared / (self.scale * k)) for k in (0.2, 1, 5)]).mean()

        def discrepancy(batch: Batch) -> Losses:
            real = batch.clean.flatten(1)
            generated = model.sample(batch.normal(model.latent_dim), batch.labels).flatten(1)
            return {"total": alike(generated, generated) - 2 * alike(generated, real) + alike(real, real)}

        moving = [weight for name, weight in model.named_parameters() if not name.startswith("discriminator")]
        return [Phase(name="generator", weights=moving, loss=discrepancy)]


recipe = sf.override(dataclasses.replace(sf.recipe("dcgan"), objective=MomentMatching()), *sys.argv[1:])
model = sf.fit(recipe)
sf.generate(model, n=16).save("moments.png")
print("sixteen images in moments.png")
