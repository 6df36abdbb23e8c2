"""IMDN as its authors keep it (`fea_conv`, `IMDB1.c1` ...)."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, distilled, renamed, zero_based


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """Six or so distillation blocks between a head and a pixel shuffle."""
    state = renamed(
        zero_based(tensors, r"IMDB(\d+)\.(?:c(\d)\.)?"),
        (r"fea_conv\.(weight|bias)", r"head.\1"),
        (r"IMDB(\d+)\.c([0-2])\.(weight|bias)", r"blocks.\1.steps.\2.\3"),
        (r"IMDB(\d+)\.c3\.(weight|bias)", r"blocks.\1.last.\2"),
        (r"IMDB(\d+)\.c4\.(weight|bias)", r"blocks.\1.join.\2"),
        (r"IMDB(\d+)\.cca\.conv_du\.0\.(weight|bias)", r"blocks.\1.squeeze.\2"),
        (r"IMDB(\d+)\.cca\.conv_du\.2\.(weight|bias)", r"blocks.\1.excite.\2"),
        (r"c\.0\.(weight|bias)", r"gather.\1"),
        (r"LR_conv\.(weight|bias)", r"trunk.\1"),
        (r"upsampler\.0\.(weight|bias)", r"tail.\1"),
    )
    settings = None if state is None else distilled(state)
    if state is None or settings is None:
        return None
    return RecognizedWeights(
        layout=f"IMDN, {settings['blocks']} blocks of {settings['width']} channels, x{settings['scale']}",
        config=MODELS["imdn"](**settings),
        state=state,
        notes="its gate looks at the whole image, so it takes no tiles",
        origin="https://github.com/Zheng222/IMDN",
        terms="none stated",
    )
