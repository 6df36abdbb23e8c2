"""Networks that enlarge, under their authors' names, and the formulas of their papers."""

import torch
from torch.nn import functional as F

from tests.papers.weights import Weights, conv, doubled, leaky, over_channels

# RFDN: Liu et al. 2020, figure 3; spatial attention as in figure 4 of Liu et al. (RFANet), with three convolutions


def rfdn(width=12, blocks=2, scale=3):
    state, half, narrow = Weights(), width // 2, width // 4
    state.conv("fea_conv", width, 3)
    for b in range(1, blocks + 1):
        for i in (1, 2, 3):
            state.conv(f"B{b}.c{i}_d", half, width, 1)
            state.conv(f"B{b}.c{i}_r", width, width)
        state.conv(f"B{b}.c4", half, width)
        state.conv(f"B{b}.c5", width, 4 * half, 1)
        esa(state, f"B{b}.esa", width, narrow, ("conv_max", "conv3", "conv3_"))
    state.conv("c.0", width, blocks * width, 1)
    state.conv("LR_conv", width, width)
    state.conv("upsampler.0", 3 * scale**2, width)
    return state


def esa(state, name, width, narrow, coarse):
    state.conv(f"{name}.conv1", narrow, width, 1)
    state.conv(f"{name}.conv_f", narrow, narrow, 1)
    state.conv(f"{name}.conv2", narrow, narrow)
    for each in coarse:
        state.conv(f"{name}.{each}", narrow, narrow)
    state.conv(f"{name}.conv4", width, narrow, 1)


def esa_formula(state, x, name, coarse):
    reduced = conv(state, x, f"{name}.conv1")
    y = F.max_pool2d(conv(state, reduced, f"{name}.conv2", stride=2, padding=0), 7, 3)
    for each in coarse[:-1]:
        y = conv(state, y, f"{name}.{each}").clamp_min(0)
    y = F.interpolate(conv(state, y, f"{name}.{coarse[-1]}"), x.shape[2:], mode="bilinear", align_corners=False)
    return x / (1 + torch.exp(-conv(state, y + conv(state, reduced, f"{name}.conv_f"), f"{name}.conv4")))


def rfdn_formula(state, image, scale):
    blocks = sum(name.endswith(".c4.weight") for name in state)
    x = first = conv(state, image, "fea_conv")
    outputs = []
    for b in (f"B{i + 1}" for i in range(blocks)):
        distilled = []
        for i in (1, 2, 3):
            distilled.append(leaky(conv(state, x, f"{b}.c{i}_d"), 0.05))
            x = leaky(conv(state, x, f"{b}.c{i}_r") + x, 0.05)
        distilled.append(leaky(conv(state, x, f"{b}.c4"), 0.05))
        x = esa_formula(state, conv(state, torch.cat(distilled, 1), f"{b}.c5"), f"{b}.esa", ("conv_max", "conv3", "conv3_"))
        outputs.append(x)
    x = conv(state, leaky(conv(state, torch.cat(outputs, 1), "c.0"), 0.05), "LR_conv") + first
    return F.pixel_shuffle(conv(state, x, "upsampler.0"), scale)


# RLFN: Kong et al. 2022, figures 2 and 3; the published network takes grey levels


def rlfn(width=10, middle=12, narrow=6, blocks=2, scale=2):
    state = Weights()
    state.conv("conv_1", width, 3)
    for b in range(1, blocks + 1):
        for i, (n, m) in enumerate(((width, middle), (middle, middle), (middle, width)), 1):
            state.conv(f"block_{b}.c{i}_r", m, n)
        state.conv(f"block_{b}.c5", width, width, 1)
        esa(state, f"block_{b}.esa", width, narrow, ("conv3",))
    state.conv("conv_2", width, width)
    state.conv("upsampler.0", 3 * scale**2, width)
    return state


def rlfn_formula(state, image, scale):
    x = first = conv(state, 255 * image, "conv_1")
    for b in (f"block_{i + 1}" for i in range(sum(name.endswith(".c5.weight") for name in state))):
        y = x
        for i in (1, 2, 3):
            y = leaky(conv(state, y, f"{b}.c{i}_r"), 0.05)
        x = esa_formula(state, conv(state, x + y, f"{b}.c5"), f"{b}.esa", ("conv3",))
    return F.pixel_shuffle(conv(state, conv(state, x, "conv_2") + first, "upsampler.0"), scale) / 255


# PAN: Zhao et al. 2020, figure 2 and equations 1 to 4


def pan(width=8, upper=6, blocks=2, scale=4):
    state, half = Weights(), width // 2
    state.conv("conv_first", width, 3)
    for b in (f"SCPA_trunk.{i}" for i in range(blocks)):
        for name, inputs, side, bias in (
            ("conv1_a", width, 1, False),
            ("conv1_b", width, 1, False),
            ("k1.0", half, 3, False),
            ("PAConv.k2", half, 1, True),
            ("PAConv.k3", half, 3, False),
            ("PAConv.k4", half, 3, False),
        ):
            state.conv(f"{b}.{name}", half, inputs, side, bias=bias)
        state.conv(f"{b}.conv3", width, width, 1, bias=False)
    state.conv("trunk_conv", width, width)
    for i in range(1, 2 + (scale == 4)):
        state.conv(f"upconv{i}", upper, width if i == 1 else upper)
        state.conv(f"att{i}.conv", upper, upper, 1)
        state.conv(f"HRconv{i}", upper, upper)
    state.conv("conv_last", 3, upper)
    return state


def pan_formula(state, image, scale):
    first = x = conv(state, image, "conv_first")
    for b in (f"SCPA_trunk.{i}" for i in range(sum(name.endswith("k1.0.weight") for name in state))):
        plain = conv(state, leaky(conv(state, x, f"{b}.conv1_a"), 0.2), f"{b}.k1.0")
        y = leaky(conv(state, x, f"{b}.conv1_b"), 0.2)
        y = conv(state, conv(state, y, f"{b}.PAConv.k3") * conv(state, y, f"{b}.PAConv.k2").sigmoid(), f"{b}.PAConv.k4")
        x = x + conv(state, torch.cat([leaky(plain, 0.2), leaky(y, 0.2)], 1), f"{b}.conv3")
    x = first + conv(state, x, "trunk_conv")
    for i, times in enumerate((2, 2) if scale == 4 else (scale,), 1):
        y = conv(state, doubled(x, times), f"upconv{i}")
        x = leaky(conv(state, leaky(y * conv(state, y, f"att{i}.conv").sigmoid(), 0.2), f"HRconv{i}"), 0.2)
    return conv(state, x, "conv_last") + F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


# SAFMN: Sun et al. 2023, equations 1 to 7


def safmn(width=8, middle=20, blocks=2, scale=2):
    state = Weights()
    state.conv("to_feat", width, 3)
    for b in (f"feats.{i}" for i in range(blocks)):
        for i in range(4):
            state.conv(f"{b}.safm.mfr.{i}", width // 4, width // 4, groups=width // 4)
        state.conv(f"{b}.safm.aggr", width, width, 1)
        state.conv(f"{b}.ccm.ccm.0", middle, width)
        state.conv(f"{b}.ccm.ccm.2", width, middle, 1)
        state.norm(f"{b}.norm1", width)
        state.norm(f"{b}.norm2", width)
    state.conv("to_img.0", 3 * scale**2, width)
    return state


def safmn_formula(state, image, scale):
    first = x = conv(state, image, "to_feat")
    h, w = image.shape[2:]
    for b in (f"feats.{i}" for i in range(sum(name.endswith("norm1.weight") for name in state))):
        y, parts = over_channels(state, x, f"{b}.norm1", 1e-6), []
        for i, part in enumerate(y.chunk(4, 1)):
            small = F.adaptive_max_pool2d(part, (h // 2**i, w // 2**i))
            parts.append(doubled(conv(state, small, f"{b}.safm.mfr.{i}", groups=part.shape[1]), 2**i))
        x = x + F.gelu(conv(state, torch.cat(parts, 1), f"{b}.safm.aggr")) * y
        y = F.gelu(conv(state, over_channels(state, x, f"{b}.norm2", 1e-6), f"{b}.ccm.ccm.0"))
        x = x + conv(state, y, f"{b}.ccm.ccm.2")
    return F.pixel_shuffle(conv(state, x + first, "to_img.0"), scale)


# CARN-M: Ahn et al. 2018, figures 2 and 3, equations 3 to 6


def carn(width=8, groups=2, scales=(2, 3, 4)):
    state = Weights()
    for name in ("sub_mean", "add_mean"):
        state[f"{name}.shifter.weight"], state[f"{name}.shifter.bias"] = torch.eye(3)[:, :, None, None], torch.zeros(3)
    state.conv("entry", width, 3)
    for b in ("b1", "b2", "b3"):
        for i, side in ((0, 3), (2, 3), (4, 1)):
            state.conv(f"{b}.b1.body.{i}", width, width, side, groups=groups if side == 3 else 1)
    for place in ("b1.", "b2.", "b3.", ""):
        for i in (1, 2, 3):
            state.conv(f"{place}c{i}.body.0", width, width * (i + 1), 1)
    for scale in scales:
        way = f"upsample.up{scale if len(scales) > 1 else ''}.body"
        for i, times in enumerate((2, 2) if scale == 4 else (scale,)):
            state.conv(f"{way}.{3 * i}", width * times**2, width, groups=groups)
    state.conv("exit", 3, width)
    return state


def carn_formula(state, image, scale):
    mean = torch.tensor([0.4488, 0.4371, 0.4040], dtype=image.dtype)[:, None, None]
    groups = state["b1.b1.body.0.weight"].shape[0] // state["b1.b1.body.0.weight"].shape[1]

    def unit(x, b):
        y = conv(state, x, f"{b}.b1.body.0", groups=groups).clamp_min(0)
        y = conv(state, y, f"{b}.b1.body.2", groups=groups).clamp_min(0)
        return (x + conv(state, y, f"{b}.b1.body.4")).clamp_min(0)

    def cascading(x, place, step):
        joined = x
        for i in (1, 2, 3):
            joined = torch.cat([joined, step(x, i)], 1)
            x = conv(state, joined, f"{place}c{i}.body.0").clamp_min(0)
        return x

    x = conv(state, image - mean, "entry")
    x = cascading(x, "", lambda x, i: cascading(x, f"b{i}.", lambda y, _: unit(y, f"b{i}")))
    way = "upsample.up.body" if "upsample.up.body.0.weight" in state else f"upsample.up{scale}.body"
    for i, times in enumerate((2, 2) if scale == 4 else (scale,)):
        x = F.pixel_shuffle(conv(state, x, f"{way}.{3 * i}", groups=groups).clamp_min(0), times)
    return conv(state, x, "exit") + mean


# FSRCNN: Dong et al. 2016, section 3; a trained one keeps grey surfaces, so these enlarge by repeating pixels


def fsrcnn(width=6, narrow=3, depth=2, scale=3):
    state = Weights()
    state.conv("first_part.0", width, 1, 5, gain=0.1)
    state.slopes("first_part.1", width)
    layers = [(width, narrow, 1), *[(narrow, narrow, 3)] * depth, (narrow, width, 1)]
    for i, (n, m, side) in enumerate(layers):
        state.conv(f"mid_part.{2 * i}", m, n, side, gain=0.1)
        state.slopes(f"mid_part.{2 * i + 1}", m)
        state[f"mid_part.{2 * i}.weight"][0, 0, side // 2, side // 2] += 1
    state["first_part.0.weight"][0, 0, 2, 2] += 1
    kernel = 0.002 * state.rand(width, 1, 9, 9)
    kernel[0, 0, 4 - (scale - 1) // 2 : 4 - (scale - 1) // 2 + scale, 4 - (scale - 1) // 2 : 4 - (scale - 1) // 2 + scale] += 1
    state["last_part.weight"], state["last_part.bias"] = kernel, 0.01 * state.rand(1)
    return state


def fsrcnn_formula(state, image, scale):
    """Of a grey image: the luma goes in as 16 to 235 of 255."""

    def prelu(x, name):
        slope = state[f"{name}.weight"][:, None, None]
        return x.clamp_min(0) + slope * x.clamp_max(0)

    x = prelu(conv(state, (16 + 219 * image) / 255, "first_part.0"), "first_part.1")
    for i in range(0, sum(name.startswith("mid_part") and name.endswith("weight") for name in state), 2):
        x = prelu(conv(state, x, f"mid_part.{i}"), f"mid_part.{i + 1}")
    # A transposed convolution is a sum of kernels, one for each pixel, placed `scale` pixels apart.
    n, _, h, w = x.shape
    canvas = x.new_zeros(n, 1, h * scale + 8, w * scale + 8)
    for row in range(9):
        for column in range(9):
            value = (x * state["last_part.weight"][:, 0, row, column][:, None, None]).sum(1, keepdim=True)
            canvas[:, :, row : row + h * scale : scale, column : column + w * scale : scale] += value
    y = canvas[:, :, 4 : 4 + h * scale, 4 : 4 + w * scale] + state["last_part.bias"]
    return (255 * y - 16) / 219
