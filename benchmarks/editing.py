"""Editing a generator's images: project one back, drag a point, and ask whether closed-form directions are what changes images most.

project    images of seeds 0 to 4 (0 to 23, if they have fewer than 64 pixels a side), 300 steps: PSNR of what was found, and the
           processor's seconds
drag       of seeds 0 to 4, the pixel of the strongest corner in the middle half of the image, 10 pixels (or as many as named) left,
           right, up and down: how far from its target it ends, in how many steps and seconds. Where it is, the features of the network
           say, as they do for `drag`; beside it, what an observer says who only sees pixels: the best match of the 9 x 9 around the
           point, by normalised correlation
closed     the share of the 5 strongest closed-form directions that lies in the span of the 5 that change images most: of the images'
           Jacobian with respect to one style for all layers, by central differences, over 24 seeds. Beside it the same of what
           `--method jacobian` finds from other images, and of central differences at 24 other seeds, which nothing can be expected to pass

Images too small to drag a point that far are not dragged.

    python -m benchmarks.editing MODEL [pixels]
"""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

from sfumato.core.device import instructions, keep_memory, set_threads
from sfumato.editing.directions import closed_form, jacobian
from sfumato.editing.drag import drag
from sfumato.editing.inversion import project
from sfumato.editing.latent_image import drawn
from sfumato.generation.generate import generate, labels_of, latent, sampler, styled

K, SEEDS, SMALL_SEEDS = 5, 5, 24


def projected(network) -> None:
    found, spent = [], []
    for i in range(SEEDS if max(network.size) >= 64 else SMALL_SEEDS):
        began = time.process_time()
        found.append(project(network, generate(network, 1, seed=i)[0], steps=300).psnr)
        spent.append(time.process_time() - began)
    told = f"mean {statistics.mean(found):.1f} dB, worst {min(found):.1f} dB, {statistics.mean(spent):.0f} s of one core"
    print(f"project {len(found)} back, 300 steps: {told}", flush=True)


def corner(image, far: int) -> tuple[int, int]:
    """Column and row of the strongest corner (Harris) in the middle half of a (c, h, w) image, at least `far` pixels from its border."""
    grey = image.mean(dim=0, keepdim=True)[None]
    dx, dy = (F.pad(grey, (1, 1, 1, 1), mode="replicate").diff(n=1, dim=d)[..., 1:, 1:] for d in (3, 2))
    dx, dy = dx[..., : grey.shape[2], : grey.shape[3]], dy[..., : grey.shape[2], : grey.shape[3]]
    xx, yy, xy = (F.avg_pool2d(a, 5, 1, 2) for a in (dx * dx, dy * dy, dx * dy))
    strength = (xx * yy - xy * xy - 0.05 * (xx + yy).square())[0, 0]
    h, w = strength.shape
    edge = max(far + 4, h // 4), max(far + 4, w // 4)
    inner = strength[edge[0] : h - edge[0], edge[1] : w - edge[1]]
    y, x = divmod(int(inner.argmax()), inner.shape[1])
    return x + edge[1], y + edge[0]


def matched(before, after, point) -> tuple[int, int]:
    """Where in `after` the 9 x 9 pixels around `point` of `before` are found again."""
    (x, y), r = point, 4
    patch = before[:, y - r : y + r + 1, x - r : x + r + 1]
    windows = F.unfold(after[None], 2 * r + 1)[0].T
    patch = (patch - patch.mean()).flatten()
    windows = windows - windows.mean(dim=1, keepdim=True)
    place = int((windows @ patch / windows.norm(dim=1).clamp_min(1e-6)).argmax())
    wide = after.shape[2] - 2 * r
    return place % wide + r, place // wide + r


def dragged(network, far: int) -> None:
    good, steps, spent, off = 0, [], [], []
    for i in range(SEEDS):
        x, y = corner(generate(network, 1, seed=i)[0], far)
        for dx, dy in ((-far, 0), (far, 0), (0, -far), (0, far)):
            began = time.process_time()
            done = drag(network, drawn(network, i), [(x, y)], [(x + dx, y + dy)], steps=100)
            spent.append(time.process_time() - began)
            steps.append(done.steps)
            good += done.distance <= 2
            seen = matched(done.images[0], done.images[1], (x, y))
            off.append(((seen[0] - x - dx) ** 2 + (seen[1] - y - dy) ** 2) ** 0.5)
    close = sum(distance <= 2 for distance in off)
    told = (
        f"{good} of {len(steps)} within 2 px by the network's features, {close} by the pixels (median {statistics.median(off):.1f} px off)"
    )
    print(f"drag by {far} px: {told}; {statistics.median(steps):.0f} steps (median), {max(spent):.0f} s of one core at most", flush=True)


@torch.no_grad()
def strongest(network, step=1e-2, seeds=24, first=0):
    """The orthonormal directions of style that change images most, strongest first, a column each."""
    total = torch.zeros(network.style_dim, network.style_dim, dtype=torch.float64)
    for seed in range(first, first + seeds):
        label = labels_of(network, [seed], None)
        styles = styled(network, latent(network, seed), label)
        labels = None if label is None else label.expand(network.style_dim)
        ahead, behind = (network.synthesize(styles + sign * step * torch.eye(network.style_dim)[:, None], labels) for sign in (1, -1))
        slope = ((ahead - behind) / (2 * step)).flatten(1).double()
        total += slope @ slope.T
    return torch.linalg.eigh(total).eigenvectors.flip(1)


def main(model: str, far: int = 10) -> None:
    print(instructions())
    keep_memory()
    set_threads(1)
    network = sampler(model).network
    projected(network)
    if min(network.size) > 2 * (far + 4):
        dragged(network, far)
    else:
        print(f"drag by {far} px: not tried, the images are {network.size[0]} x {network.size[1]}", flush=True)
    most, layers = strongest(network), (0, network.styles - 1)
    for what, found in (
        ("closed-form", closed_form(network, layers)[0].double().T),
        ("jacobian", jacobian(network, layers)[0].double().T),
        ("central differences at other seeds", strongest(network, first=SMALL_SEEDS)),
    ):
        shares = {k: float((found[:, :k].T @ most[:, :k]).square().sum() / k) for k in (K, 10, 20)}
        told = ", ".join(f"{share:.3f} of {k}" for k, share in shares.items())
        print(f"{what} in the span of the strongest by central differences: {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
