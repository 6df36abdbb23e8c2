"""Settings that correct the faults of an adversarial training, as flags of the command line."""

from sfumato.models.base import NetworkSettings
from sfumato.objectives.base import RunSettings


def remedies(fault: str, settings: RunSettings) -> list[str]:
    """Flags that correct the symptom `fault` of the training monitor in another run of these settings; none for other symptoms."""
    model, values = settings.model, settings.objective
    group = getattr(model, "group", None)
    if fault in ("alike", "collapse", "copies") and getattr(model, "classes", None) != 0 and not settings.by_class and group:
        return ["--by-class"]
    if fault == "alike":
        classify = getattr(values, "classify", 0.0)
        return [f"--objective.classify {classify / 3:.1g}"] if classify > 0.05 else ["--model.classes 0"]
    if fault == "grid":
        return _smoother(model)
    if fault in ("collapse", "copies") and group == 0:
        return ["--model.minibatch-deviation"]
    if fault in ("collapse", "copies", "overpowered", "smothered"):
        factor = 0.25 if fault == "smothered" else 4
        weights = {"--objective.r1": getattr(values, "r1", None), "--objective.r2": getattr(values, "r2", None)}
        return [f"{name} {factor * weight:g}" for name, weight in weights.items() if weight]
    return [f"--lr {settings.lr / 2:g}"] if fault in ("divergence", "decline") else []


def _smoother(model: NetworkSettings) -> list[str]:
    """Flags for changes of size without a grid, of the families that have a choice."""
    if not getattr(model, "filtered", True):
        return ["--model.filtered"]
    changes = ["--model.upsample nearest"] if getattr(model, "upsample", "") == "transposed" else []
    return changes + (["--model.downsample mean"] if getattr(model, "downsample", "") == "strided" else [])
