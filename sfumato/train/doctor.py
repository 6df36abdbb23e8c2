"""The doctor, a training monitor: names faults of a run in plain words and, if it may, corrects them.

It collects every figure of the run and examines their means at each line of the log. It may change the dials of an objective's memory
(`objectives/base.py`), and it may send the run back to the last state without a fault, with smaller steps. Its own state is a part of
the state of the run.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from sfumato.core.errors import DivergenceError
from sfumato.objectives.base import Memory
from sfumato.train.distributed import World
from sfumato.train.figures import Figures, Row
from sfumato.train.stored import DoctorState
from sfumato.train.verdict import Verdict

PATIENCE = 3
"""Number of consecutive looks that must show a symptom before it is named, and before each dose."""
RETURNS = 4
"""Number of times that a run goes back; then it stops with the fault."""
SYMPTOMS = {
    "collapse": "the generator makes nearly the same image for every latent (diversity {generator/diversity:.2f} of the data's): "
    "mode collapse. Use minibatch_deviation, a stronger r1 and r2, or a smaller lr",
    "copies": "{pulse/copies:.0%} of the generated images are nearly copies of another, and all are {pulse/narrowed:.2f} times as "
    "various as they have been: the generator is collapsing. "
    "Use minibatch_deviation, a stronger r1 and r2, or a smaller lr",
    "alike": "images of the same class differ {pulse/diversity_within:.2f} times as much as real ones do, while those of different classes "
    "differ: each class is collapsing to one image. Use batches by class, a smaller objective.classify, or no labels (model.classes = 0)",
    "grid": "a grid of 2 or 4 pixels lies over the generated images, {pulse/grid:.1f} times as strong as in real ones",
    "overpowered": "the discriminator tells {discriminator/told_apart:.0%} of real images from generated ones, and nothing shows that "
    "these still come nearer: it has won or learnt the data by heart. Use a stronger r1, augmentation in the objective, or more images",
    "blinded": "images are changed more often (probability {discriminator/probability:.2f}) than their number calls for: of real ones the "
    "discriminator is hardly sure (mean sign {discriminator/certainty:.2f}; 0.6 is usual), and it tells {discriminator/told_apart:.0%} of "
    "them from generated ones. Use a lower probability",
    "divergence": "the discriminator's logits have grown to {discriminator/real_logit:.0f}: the run is diverging. "
    "Use a smaller lr or a stronger r1",
    "smothered": "the gradient penalty is {penalty/share:.0%} of the loss of the discriminator, which hardly learns. "
    "Use a weaker r1 and r2",
    "decline": "images are {pulse/decline:.1f} times as far from the data as they have been: the run gets worse. Use a smaller lr, a "
    "stronger r1, or the model that was saved before",
    "rise": "the loss has risen to {loss/now:.4g}, having been at {loss/least:.4g}: the run loses what it had learnt. Use a smaller lr, "
    "or the model that was saved before",
    "posterior": "the latents carry {elbo/kl:.2f} nats: posterior collapse. Use warmup or free_bits",
}
AGREED: dict[str, Callable[[Iterable[float]], float]] = {
    "pulse/copies": min,
    "pulse/diversity": max,
    "pulse/diversity_within": max,
    "pulse/grid": min,
    "pulse/unlike": min,
}
"""For each figure of two measurements, the function that gives the value that both support."""
USUAL = 0.6
"""Certainty of the discriminator about real images that is usual, where the run has no target of its own."""
YOUNG, VARIOUS = 0.25, 0.25
"""Until the share YOUNG of the run, images whose diversity was never above VARIOUS may be alike: so a generator begins."""
RECENT = 3
"""Number of last measurements in which the images of a generator that still learns come nearer to the data."""
LOST = 0.5
"""Share of what the loss had come down that it has risen again, from which on the run is diverging."""
WELL = "the run looks fine"


@dataclass(frozen=True)
class Dose:
    """The change of a dial: times `factor`, plus `more`."""

    dial: str
    factor: float = 1.0
    more: float = 0.0


DOSES = {
    "collapse": (Dose("gamma", factor=2),),
    "copies": (Dose("gamma", factor=2),),
    "overpowered": (Dose("gamma", factor=2), Dose("target", more=-0.1), Dose("probability", more=0.1)),
    "blinded": (Dose("probability", factor=0.5),),
    "smothered": (Dose("gamma", factor=0.5),),
}
BACK = {"divergence": 0, "rise": 0, "decline": 0, "collapse": 2, "copies": 2}
"""Number of doses without effect after which the run goes back."""


class Doctor:
    """Keeps the last looks; each symptom is named once until it goes away."""

    def __init__(self, *, acts: bool = False) -> None:
        self.acts, self.pace, self.returns = acts, 1.0, 0
        self.figures = Figures()
        self._rows: deque[Row] = deque(maxlen=PATIENCE)
        self._symptoms: set[str] = set()
        self._doses: dict[str, int] = {}
        self._distances: list[float] = []
        self._pulses: list[Row] = []
        self._widest = 0.0
        self._first_loss: float | None = None
        self._least_loss: float | None = None

    def look(self, row: Row) -> list[str]:
        """A sentence for each new symptom; none without one, or while the last lines disagree."""
        self._rows.append(row)
        if len(self._rows) < PATIENCE:
            return []
        present = {name for name in SYMPTOMS if all(_shows(name, r) for r in self._rows)}
        new, self._symptoms = sorted(present - self._symptoms), present
        return [SYMPTOMS[name].format_map(row) for name in new]

    def visit(self, memories: dict[str, Memory], world: World, *, progress: float = 1.0) -> tuple[list[str], bool]:
        """Examines the figures since the last visit. Returns sentences on faults and changes, and whether the run is to go back.

        `progress` is the share of the run that is over. The doctor changes dials if it may act. Raises DivergenceError if the run would go
        back more than RETURNS times.
        """
        row = self._with_rise(self._with_pulses(self.figures.take(world)), progress)
        row["young"] = float(progress < YOUNG and self._widest < VARIOUS)
        faulty = bool(self._symptoms)
        sentences = self.look(row)
        if not self.acts or len(self._rows) < PATIENCE:
            return sentences, False
        if faulty and not self._symptoms:
            sentences.append(WELL + " again")
            self._doses = {}
        for name in sorted(self._symptoms):
            if name in BACK and self._doses.get(name, 0) >= BACK[name]:
                return [*sentences, self.send_back(SYMPTOMS[name].format_map(row))], True
        for name in sorted(self._symptoms & DOSES.keys()):
            sentences += self._treat(name, memories)
        return sentences, False

    def send_back(self, why: str) -> str:
        """Halves the steps, and drops the figures since the state that the run goes back to. Raises DivergenceError after RETURNS times."""
        if self.returns >= RETURNS:
            raise DivergenceError(f"stopped, having gone back {self.returns} times: {why}")
        self.returns, self.pace = self.returns + 1, self.pace / 2
        self.figures = Figures()
        self._rows.clear()
        self._doses, self._distances, self._pulses = {}, sorted(self._distances)[:1], []
        return f"doctor: {why}; back to the last good state and its settings, with {self.pace:g} of the step"

    @property
    def well(self) -> bool:
        """Whether the last looks show no symptom."""
        return not self._symptoms

    def verdict(self) -> Verdict | None:
        """The verdict of the last look; None for a run without a fault, without measured images, and whose doctor may not act.

        Unlike during the run, a single measurement of generated images, and the last line of the log, are enough.
        """
        last = self._pulses[-1] if self._pulses else {}
        faults = self._symptoms | {name for name in ("alike", "copies", "grid") if _shows(name, last)}
        faults = sorted(faults | {name for name in ("posterior",) if self._rows and _shows(name, self._rows[-1])})
        faults += ["unlike"] if last.get("pulse/unlike", 0.0) > 1 else []
        return Verdict(last, tuple(faults)) if faults or last or self.acts else None

    def state(self) -> DoctorState:
        """The state of the doctor, as JSON."""
        return {
            "pace": self.pace,
            "returns": self.returns,
            "rows": list(self._rows),
            "said": sorted(self._symptoms),
            "doses": self._doses,
            "distances": self._distances,
            "pulses": self._pulses,
            "widest": self._widest,
            "first_loss": self._first_loss,
            "least_loss": self._least_loss,
            "figures": self.figures.state(),
        }

    def restore(self, state: DoctorState) -> None:
        """Restores the state that `state` returned."""
        self.pace, self.returns, self._symptoms = state["pace"], state["returns"], set(state["said"])
        self._rows = deque(state["rows"], maxlen=PATIENCE)
        self._doses, self._distances, self._pulses = state["doses"], state["distances"], state.get("pulses", [])
        self._widest = state.get("widest", 0.0)
        self._first_loss, self._least_loss = state.get("first_loss"), state.get("least_loss")
        self.figures.restore(state["figures"])

    def _with_pulses(self, row: Row) -> Row:
        """`row` with the figures that the last two measurements of generated images support, and with their trend.

        `pulse/decline` is the distance of images from the data over the smallest distance so far, `pulse/gain` the share by which they
        came nearer in the last measurements: 1 while there are no earlier ones.
        """
        if "pulse/frechet" in row:
            self._pulses = [*self._pulses[-1:], {name: row[name] for name in AGREED if name in row}]
        if len(self._pulses) == 2:
            both = {name for name in AGREED if all(name in each for each in self._pulses)}
            row = {**row, **{name: AGREED[name](each[name] for each in self._pulses) for name in both}}
        # Images without diversity at the beginning are no collapse.
        self._widest = max(self._widest, row.get("pulse/diversity", 0.0))
        row["pulse/narrowed"] = row.get("pulse/diversity", self._widest) / self._widest if self._widest else 1.0
        if "pulse/frechet" in row:
            self._distances.append(row["pulse/frechet"])
        if not self._distances:
            return row
        before, now = (min(distances, default=float("inf")) for distances in (self._distances[:-RECENT], self._distances))
        row["pulse/gain"] = 1 - now / max(before, 1e-9)
        if len(self._distances) >= 3:
            row["pulse/decline"] = min(self._distances[-2:]) / max(now, 1e-9)
        return row

    def _with_rise(self, row: Row, progress: float) -> Row:
        """`row` with the share of what the loss had come down that it has risen again, for a run with one loss.

        Losses of networks that work against each other say nothing, and a loss may rise at the beginning, while parts of it set in. The
        scale is half the least loss at least, so that a run that hardly learns is not called diverging for its noise.
        """
        losses = [value for name, value in row.items() if name.endswith("/total")]
        if len(losses) != 1 or any(name.startswith("discriminator/") for name in row):
            return row
        (now,) = losses
        first = self._first_loss = now if self._first_loss is None else self._first_loss
        if progress < YOUNG:
            return row
        least = self._least_loss = min(now, self._least_loss) if self._least_loss is not None else now
        scale = max(first - least, abs(least) / 2, 1e-9)
        return {**row, "loss/rise": (now - least) / scale, "loss/now": now, "loss/least": least}

    def _treat(self, name: str, memories: dict[str, Memory]) -> list[str]:
        sentences = []
        for dose in DOSES[name]:
            for memory in memories.values():
                if dose.dial in memory.dials:
                    value = getattr(memory, dose.dial)
                    before, (low, high) = value.item(), memory.dials[dose.dial]
                    with torch.no_grad():
                        # A value that settings put beyond the limits is not brought back to them: that may be the wrong direction.
                        value.mul_(dose.factor).add_(dose.more).clamp_(min(low, before), max(high, before))
                    if value.item() != before:
                        sentences.append(f"doctor: {name}: {dose.dial} from {before:.3g} to {value.item():.3g}")
        self._doses[name] = self._doses.get(name, 0) + 1
        self._rows.clear()
        return sentences


def _shows(symptom: str, row: Row) -> bool:
    """Whether one line of the log shows the symptom; a figure that the run does not have shows none."""
    return {
        "collapse": row.get("generator/diversity", 1.0) < 0.25 and not row.get("young"),
        "copies": (not row.get("young") and row.get("pulse/copies", 0.0) > 0.5) or row.get("pulse/narrowed", 1.0) < 1 / 3,
        # A young generator makes all images alike, of one class or not; that is no collapse of the classes.
        "alike": row.get("pulse/diversity_within", 1.0) < 0.4 < 0.6 * row.get("pulse/diversity", 1.0),
        "grid": row.get("pulse/grid", 1.0) > 2,
        "overpowered": row.get("pulse/gain", 0.0) < 0.03
        and max(row.get("discriminator/told_apart", 0.5), row.get("discriminator/certainty", 0.0)) > 0.97,
        "blinded": row.get("discriminator/probability", 0.0) > 0.2
        and row.get("discriminator/certainty", 1.0) < (row.get("discriminator/target", 0.0) or USUAL) - 0.1,
        "divergence": abs(row.get("discriminator/real_logit", 0.0)) > 500,
        "smothered": row.get("penalty/share", 0.0) > 0.9,
        "rise": row.get("loss/rise", 0.0) > LOST,
        "decline": row.get("pulse/decline", 1.0) > 2.5,
        "posterior": row.get("elbo/kl", 100.0) < 0.5,
    }[symptom]
