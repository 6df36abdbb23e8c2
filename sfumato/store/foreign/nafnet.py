"""NAFNet as its authors keep it (`intro`, `encoders.0.0.conv1`, `middle_blks.0.sca.1` ...); NAFNetLocal has the same names."""

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, count, renamed

_BLOCK = {
    "norm1": "mix.0",
    "conv1": "mix.1",
    "conv2": "mix.2",
    r"sca\.1": "mix.4.weigh",
    "conv3": "mix.5",
    "norm2": "feed.0",
    "conv4": "feed.1",
    "conv5": "feed.3",
}
"""The layers of a block under their names and under ours."""
_STAGES = {r"encoders\.(\d+)\.(\d+)": r"encoder.\1.\2", r"decoders\.(\d+)\.(\d+)": r"decoder.\1.\2", r"middle_blks\.(\d+)": r"middle.\1"}
_PLACES = {r"intro\.": "head.", r"ending\.": "tail.", r"downs\.(\d+)\.": r"down.\1.", r"ups\.(\d+)\.": r"up.\1."}


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """As many ways down as up between a head and a tail of 3x3; a stage may be without blocks, but not all."""
    state = renamed(tensors, *_rules())
    if state is None or not {"head.weight", "tail.weight"} <= state.keys() or not any(name.endswith(".beta") for name in state):
        return None
    width, channels, *kernel = state["head.weight"].shape
    levels, middle = count(tensors, r"downs\.(\d+)\."), count(tensors, r"middle_blks\.(\d+)\.")
    if tuple(state["tail.weight"].shape) != (channels, width, 3, 3) or kernel != [3, 3] or count(tensors, r"ups\.(\d+)\.") != levels:
        return None
    encoder, decoder = (tuple(count(tensors, rf"{way}\.{i}\.(\d+)\.") for i in range(levels)) for way in ("encoders", "decoders"))
    return RecognizedWeights(
        layout=f"NAFNet of {channels} channels, width {width}, blocks {_list(encoder)} down, {middle} in the middle, {_list(decoder)} up",
        config=MODELS["gated"](
            channels=channels,
            width=width,
            encoder=encoder,
            middle=middle,
            decoder=decoder,
            convolution="depthwise",
            between="split",
            channel_gate="linear",
            window=0,
        ),
        state=state,
        notes="its gate looks at the whole image, so it takes no tiles",
        origin="https://github.com/megvii-research/NAFNet",
        terms="MIT",
    )


def _rules() -> list[tuple[str, str]]:
    places = [(rf"{theirs}(.*)", rf"{ours}\{theirs.count('(') + 1}") for theirs, ours in _PLACES.items()]
    inside = []
    for theirs, ours in _STAGES.items():
        last = theirs.count("(") + 1
        inside += [(rf"{theirs}\.{name}\.(weight|bias)", rf"{ours}.{place}.\{last}") for name, place in _BLOCK.items()]
        inside.append((rf"{theirs}\.(beta|gamma)", rf"{ours}.\{last}"))
    return [*places, *inside]


def _list(blocks: tuple[int, ...]) -> str:
    return "-".join(map(str, blocks)) or "none"
