"""Fast Fourier convolution (Chi et al. 2020, "Fast Fourier convolution"; Suvorov et al. 2022, https://arxiv.org/abs/2109.07161).

    local  ─┬─ 3x3 ────────── + ─ norm ─ relu ─ local
            └─ 3x3 ─┐         │
    global ─┬─ 3x3 ─┼─────────┘
            └─ spectral ─ + ─── norm ─ relu ─ global

The channels are of two kinds. Local ones are convolved; global ones are also transformed to the spectrum of the whole image, where a 1x1
convolution mixes real and imaginary parts of all channels. One layer thus sees the whole image.
"""

from typing import TypeAlias

import torch
from torch import nn

from sfumato.core.tensors import Images, Maps
from sfumato.nn.norm import BatchNorm

Pair: TypeAlias = tuple[Maps, Maps | None]
"""Local and global maps."""


class SpectralTransform(nn.Module):
    """Global maps to global maps through the spectrum of the whole image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.before = nn.Sequential(nn.Conv2d(inputs, half, 1, bias=False), BatchNorm(half), nn.ReLU(inplace=True))
        self.spectral = nn.Sequential(nn.Conv2d(2 * half, 2 * half, 1, bias=False), BatchNorm(2 * half), nn.ReLU(inplace=True))
        self.after = nn.Conv2d(half, outputs, 1, bias=False)

    def forward(self, x: Images) -> Maps:
        x = self.before(x)
        # Transforms of half precision are not available everywhere, and lose the weak frequencies.
        wide = x if x.dtype == torch.float64 else x.float()
        spectrum = torch.view_as_real(torch.fft.rfft2(wide, norm="ortho"))
        n, c, h, w, _ = spectrum.shape
        mixed = self.spectral(spectrum.permute(0, 1, 4, 2, 3).reshape(n, 2 * c, h, w)).to(wide.dtype)
        mixed = mixed.reshape(n, c, 2, h, w).permute(0, 1, 3, 4, 2).contiguous()
        return self.after(x + torch.fft.irfft2(torch.view_as_complex(mixed), s=x.shape[2:], norm="ortho").to(x.dtype))


class FourierConv(nn.Module):
    """A convolution of local and global maps, each followed by batch normalisation and ReLU; borders are mirrored.

    `inputs` and `outputs` are the numbers of local and of global channels; 0 for none.
    """

    def __init__(self, inputs: tuple[int, int], outputs: tuple[int, int], *, side: int = 3, stride: int = 1) -> None:
        super().__init__()

        def conv(n: int, m: int) -> nn.Conv2d | None:
            return nn.Conv2d(n, m, side, stride, side // 2, bias=False, padding_mode="reflect") if n and m else None

        self.local_local, self.local_global = conv(inputs[0], outputs[0]), conv(inputs[0], outputs[1])
        self.global_local = conv(inputs[1], outputs[0])
        self.global_global = SpectralTransform(inputs[1], outputs[1]) if inputs[1] and outputs[1] else None
        self.norm_local = BatchNorm(outputs[0])
        self.norm_global = BatchNorm(outputs[1]) if outputs[1] else None

    def forward(self, pair: Pair) -> Pair:
        local = _sum(self.local_local, self.global_local, pair)
        assert local is not None
        outer = _sum(self.local_global, self.global_global, pair)
        return torch.relu(self.norm_local(local)), None if outer is None or self.norm_global is None else torch.relu(
            self.norm_global(outer)
        )


def _sum(of_local: nn.Module | None, of_global: nn.Module | None, pair: Pair) -> Maps | None:
    """The sum of what the two layers make of the two kinds of maps; None if there are no layers."""
    parts = [layer(maps) for layer, maps in zip((of_local, of_global), pair, strict=True) if layer is not None and maps is not None]
    return torch.stack(parts).sum(dim=0) if parts else None
