"""Transformers under their authors' names, and the formulas of their papers."""

import torch
from torch.nn import functional as F

from tests.papers.weights import Weights, conv, doubled, leaky, over_channels

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
