"""Images parametrised by their spectrum with decorrelated colours, for optimisation that starts from noise.

Each frequency is scaled by 1 / f, its amplitude in photographs, and three independent channels are mixed into red, green and blue with the
colour covariance of photographs (Olah et al. 2017, https://doi.org/10.23915/distill.00007, "preconditioning").
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sfumato.core.tensors import Images, Maps

MIX = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))
"""Square root of the colour covariance of photographs; columns: brightness, blue against yellow, red against green."""


class Spectrum(nn.Module):
    """One image with 1 or 3 channels, whose trainable weights are its spectrum.

    The initial spectrum is normal noise of standard deviation `deviation`, drawn with `rng`.
    """

    def __init__(self, size: tuple[int, int], channels: int, rng: torch.Generator, *, deviation: float = 0.01) -> None:
        super().__init__()
        self.size, self.channels = size, channels
        self.waves = nn.Parameter(deviation * torch.randn(1, channels, size[0], size[1] // 2 + 1, 2, generator=rng))
        self.register_buffer("scale", _amplitudes(size), persistent=False)
        mix = torch.tensor(MIX)
        mix = mix / mix.norm(dim=0).max() if channels == 3 else torch.eye(channels)
        self.register_buffer("mix", mix, persistent=False)

    def forward(self) -> Images:
        """The image (1, channels, height, width), in (0, 1)."""
        with torch.autocast(self.waves.device.type, enabled=False):
            spectrum: Complex[Tensor, "..."] = torch.view_as_complex(self.waves) * self.get_buffer("scale")
            planes = torch.fft.irfft2(spectrum, s=self.size, norm="ortho") / 4
            return torch.einsum("dc,nchw->ndhw", self.get_buffer("mix"), planes).sigmoid()

    @torch.no_grad()
    def set_image(self, image: Images) -> "Spectrum":
        """Sets the spectrum to that of `image`, clamped to [0.01, 0.99], and returns this module."""
        planes: Maps = torch.linalg.inv(self.get_buffer("mix")) @ image.clamp(0.01, 0.99).logit().flatten(2)
        waves = torch.fft.rfft2(planes.reshape(image.shape), norm="ortho") * 4 / self.get_buffer("scale")
        self.waves.copy_(torch.view_as_real(waves))
        return self


def _amplitudes(size: tuple[int, int]) -> Float[Tensor, "h _half"]:
    h, w = size
    rows, columns = torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    return frequency.clamp_min(1 / max(h, w)).reciprocal()
