"""Says in plain words when a run looks ill. It looks at the log alone and changes nothing."""

from collections import deque

from sfumato.train.log import Row

PATIENCE = 3
"""Lines of the log in a row that must show a symptom."""
SYMPTOMS = {
    "collapse": "the generator makes nearly the same image for every latent (diversity {generator/diversity:.2f} of the data's): "
    "mode collapse. Use minibatch_deviation, a stronger r1 and r2, or a smaller lr",
    "overpowered": "the discriminator tells {discriminator/told_apart:.0%} of real images from generated ones: it has won or learnt "
    "the data by heart. Use a stronger r1, augmentation in the objective, or more images",
    "divergence": "the discriminator's logits have grown to {discriminator/real_logit:.0f}: the run is diverging. "
    "Use a smaller lr or a stronger r1",
    "smothered": "the gradient penalty is {penalty/share:.0%} of what the discriminator minimises, so it hardly learns. "
    "Use a weaker r1 and r2",
    "posterior": "the latents carry {elbo/kl:.2f} nats: posterior collapse. Use warmup or free_bits",
}


class Doctor:
    """Remembers the last lines of a log; each complaint is made once until it goes away."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=PATIENCE)
        self._said: set[str] = set()

    def look(self, row: Row) -> list[str]:
        """What is wrong, one sentence each; nothing while all is well or the last lines disagree."""
        self._rows.append(row)
        if len(self._rows) < PATIENCE:
            return []
        found = {name for name in SYMPTOMS if all(_shows(name, r) for r in self._rows)}
        new, self._said = sorted(found - self._said), found
        return [SYMPTOMS[name].format_map(row) for name in new]


def _shows(symptom: str, row: Row) -> bool:
    """Whether one line of the log shows it; a figure that the run does not have never does."""
    return {
        "collapse": row.get("generator/diversity", 1.0) < 0.25,
        "overpowered": row.get("discriminator/told_apart", 0.5) > 0.97,
        "divergence": abs(row.get("discriminator/real_logit", 0.0)) > 500,
        "smothered": row.get("penalty/share", 0.0) > 0.9,
        "posterior": row.get("elbo/kl", 100.0) < 0.5,
    }[symptom]
