"""The last word on a run: how various its images are, what is wrong with them, and which settings would mend that."""

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
    "decline": "the images were better before",
    "posterior": "the latents carry nothing",
    "unlike": "the images are farther from the data than a single average image would be",
}
"""What each symptom of the doctor means at the end of a run, and that its images are not like the data yet."""
WITHIN = "pulse/diversity_within"


@dataclass(frozen=True)
class Verdict:
    """What the doctor's last look showed."""

    figures: Row
    """Figures of generated images, as `pulse` gives them."""
    faults: tuple[str, ...]
    """Symptoms, by the names that the doctor has for them."""

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
        """Flags that would mend the faults in another run of these settings."""
        changes = dict.fromkeys(flag for fault in self.faults for flag in _mended(fault, settings))
        return tuple(changes) or ((_longer(settings),) if self.faults else ())


def _mended(fault: str, settings: TrainSettings) -> list[str]:
    model, objective = settings.model, settings.objective
    labelled = getattr(model, "classes", None) != 0
    if fault in ("alike", "collapse", "copies") and labelled and not settings.by_class and getattr(model, "group", 0):
        return ["--by-class"]
    if fault == "alike":
        classify = getattr(objective, "classify", 0.0)
        return [f"--objective.classify {classify / 3:.1g}"] if classify > 0.05 else ["--model.classes 0"]
    if fault == "grid":
        changes = ["--model.upsample nearest"] if getattr(model, "upsample", "") == "transposed" else []
        changes += ["--model.downsample mean"] if getattr(model, "downsample", "") == "strided" else []
        return changes if getattr(model, "filtered", True) else ["--model.filtered"]
    if fault in ("collapse", "copies") and not getattr(model, "group", 1):
        return ["--model.minibatch-deviation"]
    if fault in ("collapse", "copies", "overpowered", "smothered"):
        return _penalties(objective, 0.25 if fault == "smothered" else 4)
    return [f"--lr {settings.lr / 2:g}"] if fault in ("divergence", "decline") else []


def _longer(settings: TrainSettings) -> str:
    """Four times the length."""
    return f"--budget {4 * seconds(settings.budget) / 60:g}min" if settings.budget else f"--images {4 * settings.images}"


def _penalties(objective: object, factor: float) -> list[str]:
    """Both gradient penalties, so many times as strong."""
    named = {"--objective.r1": getattr(objective, "r1", None), "--objective.r2": getattr(objective, "r2", None)}
    return [f"{flag} {factor * value:g}" for flag, value in named.items() if value]
