"""LaMa's generator as its authors keep it (`generator.model.1.ffc.convl2l` ... `generator.model.5.conv1.ffc.convg2g.fu` ...).

A training checkpoint holds the discriminator and the network of a loss beside the generator; they are left out.
"""

import re

from sfumato.models import MODELS
from sfumato.store.foreign.base import RecognizedWeights, Tensors, renamed

_NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
_FFC = {
    r"ffc\.convl2l\.(weight)": "local_local",
    r"ffc\.convl2g\.(weight)": "local_global",
    r"ffc\.convg2l\.(weight)": "global_local",
    r"ffc\.convg2g\.conv1\.0\.(weight)": "global_global.before.0",
    rf"ffc\.convg2g\.conv1\.1\.{_NORM}": "global_global.before.1",
    r"ffc\.convg2g\.fu\.conv_layer\.(weight)": "global_global.spectral.0",
    rf"ffc\.convg2g\.fu\.bn\.{_NORM}": "global_global.spectral.1",
    r"ffc\.convg2g\.conv2\.(weight)": "global_global.after",
    rf"bn_l\.{_NORM}": "norm_local",
    rf"bn_g\.{_NORM}": "norm_global",
}
"""The layers of a Fourier convolution under their names and under ours."""
_OTHERS = r"(discriminator|loss_resnet_pl|evaluator|val_evaluators|test_evaluators)\..*"


def claim(tensors: Tensors) -> RecognizedWeights | None:
    """A 7x7 convolution, halvings, blocks of two Fourier convolutions, doublings and a 7x7 convolution, numbered as in a sequence."""
    layers = {re.sub(r"^(generator\.|model\.)*", "", name): value for name, value in tensors.items() if not re.fullmatch(_OTHERS, name)}
    numbers = {int(match[1]) for name in layers if (match := re.match(r"(\d+)\.", name))}
    down = len([n for n in numbers if f"{n}.ffc.convl2l.weight" in layers]) - 1
    blocks = len([n for n in numbers if f"{n}.conv1.ffc.convl2l.weight" in layers])
    if down < 1 or not blocks:
        return None
    state = renamed(layers, *_rules(down, blocks, max(numbers)))
    if state is None or not {"head.local_local.weight", "tail.weight", "blocks.0.convs.0.local_global.weight"} <= state.keys():
        return None
    width, inputs = state["head.local_local.weight"].shape[:2]
    channels, outer = inputs - 1, state["blocks.0.convs.0.local_global.weight"].shape[0]
    if len(state["tail.weight"]) != channels:
        return None
    return RecognizedWeights(
        layout=f"LaMa's generator, {blocks} blocks of {width << down} channels, {outer} of them global",
        config=MODELS["lama"](channels=channels, width=width, down=down, blocks=blocks, global_share=outer / (width << down)),
        state=state,
        notes="it fills in holes (--mask) and looks at the whole image, so it takes no tiles",
        origin="https://github.com/advimman/lama",
        terms="Apache-2.0 for its code; none stated for its weights",
    )


def _rules(down: int, blocks: int, last: int) -> list[tuple[str, str]]:
    """Rules for the layers of the sequence: padding first and a joining layer after the blocks have no tensors."""
    places = {"1": "head", **{str(2 + i): f"down.{i}" for i in range(down)}}
    for i in range(blocks):
        places |= {rf"{2 + down + i}\.conv{j + 1}": f"blocks.{i}.convs.{j}" for j in range(2)}
    rules = [(rf"{place}\.{theirs}", rf"{ours}.{layer}.\1") for place, ours in places.items() for theirs, layer in _FFC.items()]
    first = 3 + down + blocks
    for i in range(down):
        rules.append((rf"{first + 3 * i}\.(weight|bias)", rf"up.{3 * i}.\1"))
        rules.append((rf"{first + 3 * i + 1}\.{_NORM}", rf"up.{3 * i + 1}.\1"))
    return [*rules, (rf"{last}\.(weight|bias)", r"tail.\1")]
