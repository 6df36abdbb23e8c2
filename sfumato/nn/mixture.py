"""Gaussian mixture: fitted to vectors by expectation-maximisation, sampled as a function of standard normal vectors."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.tensors import Vectors
from sfumato.nn import normal

_CHUNK = 1 << 22
"""Numbers in one block of the log-density computation: 32 MB, of which a few exist at once."""
_FLOOR = 1e-3
"""Added to the diagonal of each covariance, so that the covariance of a component with few points stays invertible."""


class Mixture(nn.Module):
    """`components` Gaussians with full covariances in `dim` dimensions; all are standard normal until `fit` is called."""

    def __init__(self, components: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))
        self.weights: Tensor
        self.means: Tensor
        self.factors: Tensor

    def forward(self, z: Vectors) -> Vectors:
        """Samples of the mixture, one for each standard normal vector in `z`; a deterministic function of `z`.

        The first coordinate selects the component: its normal quantile lies in one component's share of [0, 1). The relative position
        inside that share, mapped back to a standard normal number, becomes the first coordinate of the sample in that component.
        """
        quantile, weights = normal.cumulative(z[:, 0].cpu().double()), self.weights.cpu().double()  # not every device has float64
        edges = weights.cumsum(0)
        which = (edges <= quantile[:, None]).sum(dim=1).clamp_max(len(edges) - 1)
        share = weights[which]
        inside = (quantile - (edges[which] - share)) / share
        first, which = normal.quantile(inside.clamp(1e-9, 1 - 1e-9)).to(z), which.to(z.device)
        own = torch.cat([first[:, None], z[:, 1:]], dim=1)
        return self.means[which] + (self.factors[which] @ own[:, :, None]).squeeze(2)

    @torch.no_grad()
    def fit(self, vectors: Vectors, *, rng: torch.Generator, steps: int = 50) -> float:
        """Fits the mixture to `vectors` by at most `steps` steps of expectation-maximisation, and returns the mean log-density in nats.

        The initial means are random points of `vectors`, drawn with `rng`.
        """
        x = vectors.cpu().double()
        count, k = len(x), len(self.weights)
        means = x[torch.cat([torch.randperm(count, generator=rng) for _ in range(-(-k // count))])[:k]]  # repeats if fewer than k
        factors = torch.linalg.cholesky(_covariance(x, torch.ones(count).double(), x.mean(0))).repeat(k, 1, 1)
        weights, reached = torch.full((k,), 1 / k).double(), -math.inf
        for _ in range(steps):
            joint = weights.log() + _log_normal(x, means, factors)
            total = joint.logsumexp(1)
            responsible = (joint - total[:, None]).exp()
            mass = responsible.sum(0).clamp_min(1e-9)
            weights, means = mass / mass.sum(), responsible.T @ x / mass[:, None]
            factors = torch.stack([torch.linalg.cholesky(_covariance(x, responsible[:, j], means[j])) for j in range(k)])
            gained, reached = total.mean().item() - reached, total.mean().item()
            if gained < 1e-4:
                break
        self.weights.copy_(weights)
        self.means.copy_(means)
        self.factors.copy_(factors)
        return reached


def _log_normal(x: Vectors, means: Float[Tensor, "k d"], factors: Float[Tensor, "k d d"]) -> Float[Tensor, "n k"]:
    log_volume = factors.diagonal(dim1=1, dim2=2).log().sum(1)[:, None] + x.shape[1] * math.log(2 * math.pi) / 2
    densities = []
    for part in x.split(max(1, _CHUNK // means.numel())):
        scaled = torch.linalg.solve_triangular(factors, (part[None] - means[:, None]).mT, upper=False)
        densities.append(-(scaled.square().sum(1) / 2 + log_volume).T)
    return torch.cat(densities)


def _covariance(x: Vectors, weights: Float[Tensor, " n"], mean: Float[Tensor, " d"]) -> Float[Tensor, "d d"]:
    offset = x - mean
    return (offset * weights[:, None]).T @ offset / weights.sum().clamp_min(1e-9) + _FLOOR * torch.eye(x.shape[1]).double()
