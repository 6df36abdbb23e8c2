"""LaMa's generator under its authors' names, and the formulas of its paper."""

import torch
from torch.nn import functional as F

from tests.papers.weights import Weights, conv

# LaMa: Suvorov et al. 2022, figure 2, and Chi et al. 2020, equations 1 and 2


def lama(width=4, down=2, blocks=2, outer=12):
    state, widest = Weights(), width << down
    local = widest - outer

    def ffc(name, inputs, outputs, side):
        for kind, n, m in (("l2l", inputs[0], outputs[0]), ("l2g", inputs[0], outputs[1]), ("g2l", inputs[1], outputs[0])):
            if n and m:
                state.conv(f"{name}.ffc.conv{kind}", m, n, side, bias=False)
        if inputs[1] and outputs[1]:
            half = outputs[1] // 2
            state.conv(f"{name}.ffc.convg2g.conv1.0", half, inputs[1], 1, bias=False)
            state.moments(f"{name}.ffc.convg2g.conv1.1", half)
            state.conv(f"{name}.ffc.convg2g.fu.conv_layer", 2 * half, 2 * half, 1, bias=False)
            state.moments(f"{name}.ffc.convg2g.fu.bn", 2 * half)
            state.conv(f"{name}.ffc.convg2g.conv2", outputs[1], half, 1, bias=False)
        state.moments(f"{name}.bn_l", outputs[0])
        if outputs[1]:
            state.moments(f"{name}.bn_g", outputs[1])

    ffc("model.1", (4, 0), (width, 0), 7)
    for i in range(down):
        ffc(f"model.{2 + i}", (width << i, 0), (width << (i + 1), 0) if i < down - 1 else (local, outer), 3)
    for i in range(blocks):
        for j in (1, 2):
            ffc(f"model.{2 + down + i}.conv{j}", (local, outer), (local, outer), 3)
    place = 3 + down + blocks
    for i in range(down):
        wide = widest >> i
        state[f"model.{place}.weight"] = state.rand(wide, wide // 2, 3, 3) / wide**0.5
        state[f"model.{place}.bias"] = 0.1 * state.rand(wide // 2)
        state.moments(f"model.{place + 1}", wide // 2)
        place += 3
    state.conv(f"model.{place + 1}", 3, width, 7)
    return {f"generator.{name}": value for name, value in state.items()}


def lama_formula(state, image, scale, observed):
    state = {name.removeprefix("generator.model."): value for name, value in state.items()}
    numbers = sorted({int(name.split(".")[0]) for name in state})
    down = sum(f"{n}.ffc.convl2l.weight" in state for n in numbers) - 1
    blocks = [n for n in numbers if f"{n}.conv1.bn_l.weight" in state]

    def normed(x, name):
        mean, var = (state[f"{name}.running_{each}"][:, None, None] for each in ("mean", "var"))
        return ((x - mean) / (var + 1e-5).sqrt() * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]).clamp_min(
            0
        )

    def mirrored(x, name, stride):
        weight = state[f"{name}.weight"]
        r = weight.shape[2] // 2
        return F.conv2d(F.pad(x, (r, r, r, r), mode="reflect"), weight, state.get(f"{name}.bias"), stride=stride)

    def spectral(x, name):
        y = normed(conv(state, x, f"{name}.conv1.0"), f"{name}.conv1.1")
        spectrum = torch.fft.fft2(y, norm="ortho")[..., : y.shape[3] // 2 + 1]
        parts = torch.stack([spectrum.real, spectrum.imag], 2).flatten(1, 2)
        parts = normed(conv(state, parts, f"{name}.fu.conv_layer"), f"{name}.fu.bn").unflatten(1, (-1, 2))
        z = torch.fft.irfft2(torch.complex(parts[:, :, 0], parts[:, :, 1]), s=y.shape[2:], norm="ortho")
        return conv(state, y + z, f"{name}.conv2")

    def ffc(name, local, outer, stride=1):
        y = mirrored(local, f"{name}.ffc.convl2l", stride)
        z = mirrored(local, f"{name}.ffc.convl2g", stride) if f"{name}.ffc.convl2g.weight" in state else None
        if outer is not None:
            y = y + mirrored(outer, f"{name}.ffc.convg2l", stride)
            z = z + spectral(outer, f"{name}.ffc.convg2g")
        return normed(y, f"{name}.bn_l"), None if z is None else normed(z, f"{name}.bn_g")

    local, outer = ffc("1", torch.cat([image * observed, 1 - observed], 1), None)
    for i in range(down):
        local, outer = ffc(str(2 + i), local, outer, 2)
    for n in blocks:
        y, z = ffc(f"{n}.conv2", *ffc(f"{n}.conv1", local, outer))
        local, outer = local + y, outer + z
    x = torch.cat([local, outer], 1)
    for place in range(blocks[-1] + 2, blocks[-1] + 2 + 3 * down, 3):
        x = F.conv_transpose2d(x, state[f"{place}.weight"], state[f"{place}.bias"], 2, 1, 1)
        x = normed(x, str(place + 1))
    x = mirrored(x, str(numbers[-1]), 1).sigmoid()
    return observed * image + (1 - observed) * x
