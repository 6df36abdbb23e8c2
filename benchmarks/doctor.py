"""Does the training doctor mend what is set wrong? A StyleGAN2 on satellite tiles, its gamma and its augmentation wrong ten times each way.

32 pixels, 128 channels at every size, z and w of 128 numbers, 4 mapping layers, skip generator, residual discriminator, 16 images, R1 every
16 steps, path length every 4, mixing. Each run may be treated, and is set beside the same run untreated and beside the right settings.
A run has recovered if its Fréchet distance is at most a quarter more than with the right settings; else the doctor must have stopped
it, or end by naming the illness that the wrong setting brings.

    python -m benchmarks.doctor [images] [case ...]
"""

import sys

from sfumato.core.device import keep_memory, set_threads
from sfumato.core.errors import SfumatoError
from sfumato.data.adaptive import Config as Adaptive
from sfumato.data.load import load
from sfumato.evaluation.evaluate import evaluate
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.settings import TrainSettings

GAMMA, PROBABILITY = 0.0625, 0.08
WRONG = {
    "right": {},
    "gamma x 10": {"r1": 10 * GAMMA},
    "gamma / 10": {"r1": GAMMA / 10},
    "augmentation x 10": {"adaptive": Adaptive(probability=10 * PROBABILITY)},
    "augmentation / 10": {"adaptive": Adaptive(probability=PROBABILITY / 10)},
}
NAMED = {
    "gamma x 10": ("smothered",),
    "gamma / 10": ("overpowered", "divergence", "collapse", "copies"),
    "augmentation x 10": ("blinded", "smothered"),
    "augmentation / 10": ("overpowered", "collapse", "copies"),
}
"""The illnesses that each wrong setting may bring."""
ENOUGH = 1.25


class Listener(Callback):
    """Keeps what the doctor says."""

    def __init__(self) -> None:
        self.said = []

    def note(self, text) -> None:
        if "doctor" in text or "stopped" in text or "Use" in text:
            self.said.append(text)


def settings(case: str, images: int, doctor: str) -> TrainSettings:
    model = MODELS["stylegan"](size=(32, 32), channels=3, classes=0, width=128, discriminator_width=128, max_width=128)
    usual = {"r1": GAMMA, "adaptive": Adaptive(probability=PROBABILITY)} | WRONG[case]
    objective = OBJECTIVES["adversarial"](
        loss="non-saturating", r2=0.0, penalty_every=16, penalty_end=1.0, path=2.0, path_every=4, mixing=0.9, **usual
    )
    often = images // 40 // 16 * 16
    return TrainSettings(
        model=model, objective=objective, data="eurosat", images=images // 16 * 16, batch=16, lr=2.5e-3, beta1=0.0, beta2=0.99, lr_end=1.0,
        ema=5_000, precision="bf16", doctor=doctor, log_every=often, sample_every=4 * often, save_every=2 * often,
    )  # fmt: skip


def run(case: str, images: int, doctor: str, data) -> tuple[float, Listener]:
    """The Fréchet distance in the features of SqueezeNet (infinite if the run did not end), and what was heard."""
    listener = Listener()
    try:
        network = fit(settings(case, images, doctor), data=data, watch=listener, device="cpu")
    except SfumatoError as error:
        listener.said.append(str(error))
        return float("inf"), listener
    report = evaluate(network, data, features="squeezenet", count=2_000)
    return next(m.value for m in report if m.name == "frechet"), listener


def main(images: int, cases: list[str]) -> None:
    keep_memory()
    set_threads(1)
    data = load("eurosat", size=(32, 32))
    right, _ = run("right", images, "watch", data)
    print(f"right settings: {right:.0f} after {images:,} images", flush=True)
    good = 0
    for case in cases:
        treated, heard = run(case, images, "act", data)
        # An illness that is named on the way counts only where the run then stops, or ends with it.
        ended_ill = treated == float("inf") or any("at the end" in words for words in heard.said)
        named = [illness for illness in NAMED[case] if ended_ill and any(f" {illness}" in words for words in heard.said)]
        verdict = "recovered" if treated <= ENOUGH * right else f"named {', '.join(named)}" if named else "NEITHER"
        good += verdict != "NEITHER"
        print(f"{case}: treated {treated:.0f}: {verdict}", flush=True)
        print("\n".join(f"    {words}" for words in heard.said), flush=True)
    print(f"{good} of {len(cases)}", flush=True)
    for case in cases:
        untreated, _ = run(case, images, "watch", data)
        print(f"{case}: untreated {untreated:.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 40_000, sys.argv[2:] or list(NAMED))
