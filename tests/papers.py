"""Networks of others, written a second time for the tests: tensors under their authors' names, and the formulas of their papers.

Nothing here uses the networks of the package. Formulas take the tensors by name and compute in the precision of these.
"""

import io

import numpy as np
import torch
from scipy.io import savemat
from torch.nn import functional as F


class Weights(dict):
    """Random tensors by name, made as they are asked for."""

    def __init__(self, seed=0):
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)

    def rand(self, *shape):
        return torch.randn(*shape, generator=self.rng)

    def conv(self, name, outputs, inputs, side=3, *, groups=1, bias=True, gain=1.0):
        fan = inputs // groups * side * side
        self[f"{name}.weight"] = gain * self.rand(outputs, inputs // groups, side, side) / fan**0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * gain * self.rand(outputs)

    def linear(self, name, outputs, inputs, *, gain=1.0, bias=True):
        self[f"{name}.weight"] = gain * self.rand(outputs, inputs) / inputs**0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * gain * self.rand(outputs)

    def norm(self, name, width):
        self[f"{name}.weight"], self[f"{name}.bias"] = 1 + 0.2 * self.rand(width), 0.2 * self.rand(width)

    def moments(self, name, width):
        """Batch normalisation."""
        self.norm(name, width)
        self[f"{name}.running_mean"], self[f"{name}.running_var"] = 0.2 * self.rand(width), 0.5 + self.rand(width).abs()
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def slopes(self, name, width):
        self[f"{name}.weight"] = 0.25 + 0.1 * self.rand(width)


def conv(state, x, name, **options):
    """A convolution that keeps the size, if no other padding is asked for."""
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), **{"padding": weight.shape[2] // 2, **options})


def over_channels(state, x, name, eps):
    """Layer normalisation of the channels of each pixel."""
    mean = x.mean(1, keepdim=True)
    scaled = (x - mean) / ((x - mean).square().mean(1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def leaky(x, slope):
    return torch.maximum(x, slope * x)


def doubled(x, times=2):
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


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


# SwinIR: Liang et al. 2021, equations 1 to 9; windows of Liu et al. 2021, equations 3 and 4


def swinir(width=8, heads=2, blocks=(2, 1), hidden=12, window=4, convolutions=1, upsampler="none", scale=1, channels=3):
    state = Weights()
    state.conv("conv_first", width, channels)
    state.norm("patch_embed.norm", width)

    def last(name):
        if convolutions == 1:
            state.conv(name, width, width)
        else:
            for i, (m, n, side) in enumerate(((width // 4, width, 3), (width // 4, width // 4, 1), (width, width // 4, 3))):
                state.conv(f"{name}.{2 * i}", m, n, side)

    for g, count in enumerate(blocks):
        for i in range(count):
            b = f"layers.{g}.residual_group.blocks.{i}"
            transformer(state, b, width, hidden, ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"))
            state[f"{b}.attn.relative_position_bias_table"] = state.rand((2 * window - 1) ** 2, heads)
            state[f"{b}.attn.relative_position_index"] = torch.zeros(window**2, window**2, dtype=torch.long)
            if i % 2:
                state[f"{b}.attn_mask"] = torch.zeros(4, window**2, window**2)
        last(f"layers.{g}.conv")
    state.norm("norm", width)
    last("conv_after_body")
    factors = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}[scale]
    if upsampler == "none":
        state.conv("conv_last", channels, width, gain=0.02)
    elif upsampler == "direct":
        state.conv("upsample.0", channels * scale**2, width)
    else:
        state.conv("conv_before_upsample.0", 64, width)
        for i, factor in enumerate(factors):
            state.conv(*((f"upsample.{2 * i}", 64 * factor**2, 64) if upsampler == "shuffle" else (f"conv_up{i + 1}", 64, 64)))
        if upsampler == "nearest":
            state.conv("conv_hr", 64, 64)
        state.conv("conv_last", channels, 64)
    return state


def transformer(state, b, width, hidden, names):
    qkv, project, first, second, *norms = names
    state.linear(f"{b}.{qkv}", 3 * width, width)
    state.linear(f"{b}.{project}", width, width)
    state.linear(f"{b}.{first}", hidden, width)
    state.linear(f"{b}.{second}", width, hidden)
    for name in norms:
        state.norm(f"{b}.{name}", width)


def windowed(x, qkv, project, bias, window, shift):
    """Attention of maps (n, c, h, w), pixel by pixel: each looks at those in its window, which lies on a grid moved by `shift`.

    `qkv` and `project` are functions of rows of channels; `bias` is (heads, 2 window - 1, 2 window - 1), by relative position.
    """
    n, c, h, w = x.shape
    heads = len(bias)
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cell = (
        (rows - shift).div(window, rounding_mode="floor") * (w + window) + (columns - shift).div(window, rounding_mode="floor")
    ).flatten()
    same = cell[:, None] == cell[None]
    down = (rows.flatten()[:, None] - rows.flatten()[None] + window - 1).clamp(0, 2 * window - 2)
    across = (columns.flatten()[:, None] - columns.flatten()[None] + window - 1).clamp(0, 2 * window - 2)
    q, k, v = (part.reshape(n, h * w, heads, c // heads).transpose(1, 2) for part in qkv(x.flatten(2).mT).chunk(3, -1))
    scores = q @ k.mT / (c // heads) ** 0.5 + bias[:, down, across]
    weights = torch.where(same, scores.exp(), torch.zeros_like(scores))
    y = (weights / weights.sum(-1, keepdim=True)) @ v
    return project(y.transpose(1, 2).reshape(n, h * w, c)).mT.reshape(n, c, h, w)


def linear(state, name):
    return lambda rows: rows @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def transformer_formula(state, x, b, names, bias, window, shift):
    qkv, project, first, second, norm1, norm2 = (f"{b}.{name}" for name in names)
    x = x + windowed(over_channels(state, x, norm1, 1e-5), linear(state, qkv), linear(state, project), bias, window, shift)
    y = over_channels(state, x, norm2, 1e-5).flatten(2).mT
    return x + linear(state, second)(F.gelu(linear(state, first)(y))).mT.reshape(x.shape)


def swinir_formula(state, image, scale):
    mean = torch.tensor([0.4488, 0.4371, 0.4040], dtype=image.dtype)[:, None, None] if image.shape[1] == 3 else 0
    pairs, heads = state["layers.0.residual_group.blocks.0.attn.relative_position_bias_table"].shape
    window = (round(pairs**0.5) + 1) // 2
    white = 255 if window == 7 and scale == 1 else 1

    def last(x, name):
        if f"{name}.weight" in state:
            return conv(state, x, name)
        return conv(state, leaky(conv(state, leaky(conv(state, x, f"{name}.0"), 0.2), f"{name}.2"), 0.2), f"{name}.4")

    image = (image - mean) * white
    first = conv(state, image, "conv_first")
    x = over_channels(state, first, "patch_embed.norm", 1e-5)
    for g in range(10):
        if f"layers.{g}.residual_group.blocks.0.norm1.weight" not in state:
            break
        y = x
        for i in range(10):
            b = f"layers.{g}.residual_group.blocks.{i}"
            if f"{b}.norm1.weight" in state:
                table = state[f"{b}.attn.relative_position_bias_table"].T.reshape(heads, 2 * window - 1, 2 * window - 1)
                names = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2")
                y = transformer_formula(state, y, b, names, table, window, window // 2 * (i % 2))
        x = x + last(y, f"layers.{g}.conv")
    x = last(over_channels(state, x, "norm", 1e-5), "conv_after_body") + first
    if scale == 1:
        output = image + conv(state, x, "conv_last")
    elif "conv_last.weight" not in state:
        output = F.pixel_shuffle(conv(state, x, "upsample.0"), scale)
    else:
        x = leaky(conv(state, x, "conv_before_upsample.0"), 0.01)
        for i, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[scale]):
            if "conv_hr.weight" in state:
                x = leaky(conv(state, doubled(x), f"conv_up{i + 1}"), 0.2)
            else:
                x = F.pixel_shuffle(conv(state, x, f"upsample.{2 * i}"), factor)
        x = leaky(conv(state, x, "conv_hr"), 0.2) if "conv_hr.weight" in state else x
        output = conv(state, x, "conv_last")
    return output / white + mean


# SCUNet: Zhang et al. 2022, figure 2 and equation 3


def scunet(branch=4, heads=1, blocks=(1, 2, 1, 1, 1, 1, 2), window=2):
    state, width = Weights(), 2 * branch
    stages = [("m_down1", 0), ("m_down2", 1), ("m_down3", 2), ("m_body", 3), ("m_up3", 2), ("m_up2", 1), ("m_up1", 0)]
    state.conv("m_head.0", width, 3, bias=False)
    for (stage, level), count in zip(stages, blocks, strict=True):
        half = branch << level
        if stage.startswith("m_up"):
            state[f"{stage}.0.weight"] = state.rand(4 * half, 2 * half, 2, 2) / (4 * half) ** 0.5
        for i in range(count):
            b = f"{stage}.{i + stage.startswith('m_up')}"
            state.conv(f"{b}.conv1_1", 2 * half, 2 * half, 1)
            state.conv(f"{b}.conv1_2", 2 * half, 2 * half, 1, gain=0.3)
            state.conv(f"{b}.conv_block.0", half, half, bias=False)
            state.conv(f"{b}.conv_block.2", half, half, bias=False)
            transformer(state, f"{b}.trans_block", half, 4 * half, ("msa.embedding_layer", "msa.linear", "mlp.0", "mlp.2", "ln1", "ln2"))
            state[f"{b}.trans_block.msa.relative_position_params"] = state.rand(heads << level, 2 * window - 1, 2 * window - 1)
        if stage.startswith("m_down"):
            state.conv(f"{stage}.{count}", 4 * half, 2 * half, 2, bias=False)
    state.conv("m_tail.0", 3, width, bias=False)
    # As a trained one, it gives back an image without noise nearly as it is: the first channels carry it through.
    for name in ("m_head.0.weight", "m_tail.0.weight"):
        state[name] = 0.02 * state[name]
        for i in range(3):
            state[name][i, i, 1, 1] += 1
    for name in [name for name in state if name.endswith("conv1_2.weight") or (name.startswith("m_up") and name.endswith("3.0.weight"))]:
        state[name] = 0.2 * state[name]
    for name in ("m_up1.0.weight", "m_up2.0.weight"):
        state[name] = 0.2 * state[name]
    return state


def scunet_formula(state, image, scale):
    window = (state["m_body.0.trans_block.msa.relative_position_params"].shape[1] + 1) // 2

    def stage(x, name):
        first = name.startswith("m_up")
        if first:
            weight = state[f"{name}.0.weight"]
            x = torch.einsum("nchw,cdij->ndhiwj", x, weight).flatten(2, 3).flatten(3, 4)
        blocks = sorted({int(key.split(".")[1]) for key in state if key.startswith(f"{name}.") and "trans_block" in key})
        for i, block in enumerate(blocks):
            b = f"{name}.{block}"
            near, wide = conv(state, x, f"{b}.conv1_1").chunk(2, 1)
            near = near + conv(state, conv(state, near, f"{b}.conv_block.0").clamp_min(0), f"{b}.conv_block.2")
            names = ("msa.embedding_layer", "msa.linear", "mlp.0", "mlp.2", "ln1", "ln2")
            bias = state[f"{b}.trans_block.msa.relative_position_params"]
            wide = transformer_formula(state, wide, f"{b}.trans_block", names, bias, window, window // 2 * (i % 2))
            x = x + conv(state, torch.cat([near, wide], 1), f"{b}.conv1_2")
        if name.startswith("m_down"):
            x = F.conv2d(x, state[f"{name}.{len(blocks)}.weight"], stride=2)
        return x

    skips = [conv(state, image, "m_head.0")]
    for name in ("m_down1", "m_down2", "m_down3"):
        skips.append(stage(skips[-1], name))
    x = stage(skips[3], "m_body")
    for name, skip in zip(("m_up3", "m_up2", "m_up1"), reversed(skips[1:]), strict=True):
        x = stage(x + skip, name)
    return conv(state, x + skips[0], "m_tail.0")


# Restormer: Zamir et al. 2022, equations 1 and 2


def restormer(width=4, blocks=(1, 1, 1, 2), refinement=1, heads=(1, 2, 2, 4), expansion=2.66, bias=False, centre=True):
    state = Weights()

    def stage(name, count, width, heads):
        inner = int(width * expansion)
        for b in (f"{name}.{i}" for i in range(count)):
            state[f"{b}.attn.temperature"] = 1 + state.rand(heads, 1, 1).abs()
            for part in ("norm1", "norm2"):
                state.norm(f"{b}.{part}.body", width)
                if not centre:
                    del state[f"{b}.{part}.body.bias"]
            for layer, outputs, inputs, side, groups in (
                ("attn.qkv", 3 * width, width, 1, 1),
                ("attn.qkv_dwconv", 3 * width, 3 * width, 3, 3 * width),
                ("attn.project_out", width, width, 1, 1),
                ("ffn.project_in", 2 * inner, width, 1, 1),
                ("ffn.dwconv", 2 * inner, 2 * inner, 3, 2 * inner),
                ("ffn.project_out", width, inner, 1, 1),
            ):
                state.conv(f"{b}.{layer}", outputs, inputs, side, groups=groups, bias=bias)

    state.conv("patch_embed.proj", width, 3, bias=bias)
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    for i, name in enumerate(levels):
        stage(name, blocks[i], width << i, heads[i])
    for i, name in enumerate(("down1_2", "down2_3", "down3_4")):
        state.conv(f"{name}.body.0", (width << i) // 2, width << i, bias=False)
    for i, name in ((3, "up4_3"), (2, "up3_2"), (1, "up2_1")):
        state.conv(f"{name}.body.0", 2 * (width << i), width << i, bias=False)
    for level in (3, 2):
        state.conv(f"reduce_chan_level{level}", width << (level - 1), width << level, 1, bias=bias)
    stage("decoder_level3", blocks[2], width << 2, heads[2])
    stage("decoder_level2", blocks[1], width << 1, heads[1])
    stage("decoder_level1", blocks[0], width << 1, heads[0])
    stage("refinement", refinement, width << 1, heads[0])
    state.conv("output", 3, 2 * width, bias=bias, gain=0.02)
    return state


def restormer_formula(state, image, scale):
    def norm(x, name):
        if f"{name}.bias" in state:
            return over_channels(state, x, name, 1e-5)
        return x / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt() * state[f"{name}.weight"][:, None, None]

    def stage(x, name):
        for i in range(10):
            b = f"{name}.{i}"
            if f"{b}.attn.temperature" not in state:
                break
            temperature = state[f"{b}.attn.temperature"]
            n, c, h, w = x.shape
            y = conv(state, conv(state, norm(x, f"{b}.norm1.body"), f"{b}.attn.qkv"), f"{b}.attn.qkv_dwconv", groups=3 * c)
            q, k, v = y.chunk(3, 1)
            shares, size = [], c // len(temperature)
            for head in range(len(temperature)):
                part = slice(head * size, (head + 1) * size)
                unit = [each[:, part].flatten(2) / each[:, part].flatten(2).square().sum(-1, keepdim=True).sqrt() for each in (q, k)]
                scores = (unit[0] @ unit[1].mT * temperature[head]).exp()
                shares.append((scores / scores.sum(-1, keepdim=True)) @ v[:, part].flatten(2))
            x = x + conv(state, torch.cat(shares, 1).reshape(n, c, h, w), f"{b}.attn.project_out")
            y = conv(state, norm(x, f"{b}.norm2.body"), f"{b}.ffn.project_in")
            gate, value = conv(state, y, f"{b}.ffn.dwconv", groups=y.shape[1]).chunk(2, 1)
            x = x + conv(state, F.gelu(gate) * value, f"{b}.ffn.project_out")
        return x

    one = stage(conv(state, image, "patch_embed.proj"), "encoder_level1")
    two = stage(F.pixel_unshuffle(conv(state, one, "down1_2.body.0"), 2), "encoder_level2")
    three = stage(F.pixel_unshuffle(conv(state, two, "down2_3.body.0"), 2), "encoder_level3")
    x = stage(F.pixel_unshuffle(conv(state, three, "down3_4.body.0"), 2), "latent")
    x = torch.cat([F.pixel_shuffle(conv(state, x, "up4_3.body.0"), 2), three], 1)
    x = stage(conv(state, x, "reduce_chan_level3"), "decoder_level3")
    x = torch.cat([F.pixel_shuffle(conv(state, x, "up3_2.body.0"), 2), two], 1)
    x = stage(conv(state, x, "reduce_chan_level2"), "decoder_level2")
    x = stage(torch.cat([F.pixel_shuffle(conv(state, x, "up2_1.body.0"), 2), one], 1), "decoder_level1")
    return image + conv(state, stage(x, "refinement"), "output")


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


# MatConvNet: networks in MATLAB files, kernels as (height, width, inputs, outputs)


def matlab(layers, name="net"):
    """The content of a MATLAB file with a network of such layers, dictionaries each."""
    cells = np.empty((1, len(layers)), dtype=object)
    for i, layer in enumerate(layers):
        cells[0, i] = layer
    out = io.BytesIO()
    savemat(out, {name: {"layers": cells, "meta": {"epoch": 50.0}}}, do_compression=True)
    return out.getvalue()


def matlab_conv(inputs, outputs, rng, *, gain=0.1, **settings):
    weights = np.empty((1, 2), dtype=object)
    kernel = (gain * rng.standard_normal((3, 3, inputs, outputs))).astype(np.float32)
    weights[0, 0], weights[0, 1] = (
        kernel[..., 0] if outputs == 1 else kernel,
        (0.1 * gain * rng.standard_normal((outputs, 1))).astype(np.float32),
    )
    return {"type": "conv", "weights": weights, "stride": 1.0, "pad": np.full((1, 4), 1.0), "dilate": 1.0} | settings


def matlab_norm(width, rng):
    weights = np.empty((1, 3), dtype=object)
    weights[0, 0], weights[0, 1] = rng.random((width, 1)), rng.random((width, 1)) - 0.5
    weights[0, 2] = np.stack([rng.random(width) - 0.5, 0.5 + rng.random(width)], axis=1)
    return {"type": "bnorm", "weights": weights}


RELU, LOSS = {"type": "relu", "leak": 0.0}, {"type": "loss"}


def dncnn_layers(channels=1, *, normalised=False):
    rng = np.random.default_rng(2)
    middle = [matlab_conv(6, 6, rng)] + ([matlab_norm(6, rng)] if normalised else [])
    return [matlab_conv(channels, 6, rng), RELU, *middle, RELU, matlab_conv(6, channels, rng), LOSS]


def matlab_formula(layers, image, sigma=0.0):
    """What MatConvNet computes, layer by layer, of an image (h, w, channels)."""
    x = np.asarray(image, dtype=np.float64)
    for layer in layers:
        if layer["type"] == "conv":
            kernel, bias = (np.asarray(layer["weights"][0, i], dtype=np.float64) for i in range(2))
            kernel = kernel[..., None] if kernel.ndim == 3 else kernel
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            h, w, _ = x.shape
            x = sum(padded[i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3)) + bias.reshape(-1)
        elif layer["type"] == "bnorm":
            gain, shift, moments = (np.asarray(layer["weights"][0, i]) for i in range(3))
            x = (x - moments[:, 0]) / moments[:, 1] * gain.reshape(-1) + shift.reshape(-1)
        elif layer["type"] == "relu":
            x = np.maximum(x, 0)
        elif layer["type"] == "concat":
            x = np.concatenate([x, np.full((*x.shape[:2], 1), sigma)], axis=2)
        elif layer["type"] == "SubP" and layer["scale"] < 1:
            # For each channel the pixels of a square, column by column.
            x = np.stack([x[dy::2, dx::2, c] for c in range(x.shape[2]) for dx in range(2) for dy in range(2)], axis=2)
        elif layer["type"] == "SubP":
            y = np.zeros((2 * x.shape[0], 2 * x.shape[1], x.shape[2] // 4))
            for i in range(x.shape[2]):
                y[i % 2 :: 2, i % 4 // 2 :: 2, i // 4] = x[:, :, i]
            x = y
    return x
