"""The verdict on a complete run: the diversity of its images, its faults, and the settings that would correct them."""

from dataclasses import dataclass

from sfumato.train.figures import Row
from sfumato.train.settings import TrainSettings, seconds

FAULTS = {
    "collapse": "nearly the same image comes of every latent",
    "copies": "many images are nearly copies of one another",
    "alike": "the images of a class are nearly alike",
    "grid": "a grid of 2 or 4 pixels lies over the images",
    "overpowered": "the discriminator has won",
    "blinded": "the discriminator sees too many changed images",
    "divergence": "the discriminator's logits have run away",
    "smothered": "the gradient penalty keeps the discriminator from learning",
    "rise": "the loss was lower before",
    "decline": "the images were better before",
    "posterior": "the latents carry nothing, so that all images are nearly one",
    "unlike": "the images are farther from the data than a single average image would be",
}
"""For each symptom of the doctor its meaning at the end of a run; `unlike` is of the verdict alone."""
WITHIN = "pulse/diversity_within"


@dataclass(frozen=True)
class Verdict:
    """The result of the doctor's last look."""

    figures: Row
    """Figures of generated images, from `proxy_metrics`."""
    faults: tuple[str, ...]
    """Names of symptoms of the doctor."""

    def __str__(self) -> str:
        """One sentence, such as `at the end: images 0.93 times as various as real ones; no grid; the run looks fine`."""
        parts = []
        if (diversity := self.figures.get("pulse/diversity")) is not None:
            within = f", {self.figures[WITHIN]:.2f} within classes" if WITHIN in self.figures else ""
            parts.append(f"images {diversity:.2f} times as various as real ones{within}")
        if "grid" not in self.faults and "pulse/grid" in self.figures:
            parts.append("no grid")
        parts += [FAULTS[fault] for fault in self.faults] or ["the run looks fine"]
        return f"at the end: {'; '.join(parts)}"

    def changes(self, settings: TrainSettings) -> tuple[str, ...]:
        """Flags that would correct the faults in another run of these settings."""
        slower = (f"--lr {settings.lr / 2:g}",) if "rise" in self.faults else ()
        changes = dict.fromkeys(slower) | dict.fromkeys(
            flag for fault in self.faults for flag in settings.objective.remedies(fault, settings)
        )
        return tuple(changes) or ((_longer(settings),) if self.faults else ())


def _longer(settings: TrainSettings) -> str:
    """The flag for a run that is four times as long."""
    return f"--budget {4 * seconds(settings.budget) / 60:g}min" if settings.budget else f"--images {4 * settings.images}"
