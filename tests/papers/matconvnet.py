"""Networks in MATLAB files as MatConvNet keeps them, and what MatConvNet computes with them."""

import io

import numpy as np
from scipy.io import savemat

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
