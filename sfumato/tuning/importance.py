"""How much each setting matters: its share in the spread of the figure over all trials, and a picture of that.

PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255), of the figures at the first rung, which all trials reach: the few
that were trained to the end are too much alike.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sfumato.core.tensors import Pixels
from sfumato.io.files import save_image
from sfumato.tuning.journal import Journal

LEAST = 8
"""Fewer trials say nothing."""
WIDTH, ROW, MARGIN, NAMES = 640, 34, 16, 200
"""Pixels of the picture: its width, a row, the border, and the column of names."""


def importance(journal: Journal) -> dict[str, float]:
    """The share of each setting, largest first, with the sum 1; empty for fewer than `LEAST` trials."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    trials = [trial for trial in journal.study.get_trials(deepcopy=False) if 1 in trial.intermediate_values]
    if len(trials) < LEAST:
        return {}
    study = optuna.create_study(direction=journal.study.direction)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=trial.intermediate_values[1])
        )
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in sorted(shares.items(), key=lambda pair: -pair[1])}


def plot(shares: dict[str, float]) -> Pixels:
    """A bar for each share, as a picture (h, w, 3)."""
    rows = list(shares.items()) or [("too few trials", 0.0)]
    image = Image.new("RGB", (WIDTH, 2 * MARGIN + ROW * (len(rows) + 1)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    draw.text((MARGIN, MARGIN), "Share of each setting in the spread of the figure", "black", font)
    longest = max(*(share for _, share in rows), 1e-9)
    for number, (name, share) in enumerate(rows, 1):
        middle = MARGIN + ROW * number + ROW / 2
        draw.text((MARGIN, middle), name, "black", font, "lm")
        end = NAMES + (WIDTH - NAMES - 80) * share / longest
        draw.rectangle([NAMES, middle - 9, max(NAMES + 1, end), middle + 9], fill="#2a6f97")
        draw.text((end + 8, middle), f"{share:.0%}", "black", font, "lm")
    return torch.from_numpy(np.asarray(image).copy())


def save_plot(shares: dict[str, float], path: Path) -> None:
    """Writes the picture of `plot`. Raises StorageError."""
    save_image(path, plot(shares))
