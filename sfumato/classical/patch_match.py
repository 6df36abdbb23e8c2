"""For each patch that touches a hole, the most similar patch of those that are known whole: a nearest-neighbour field.

Barnes et al. 2009 (https://doi.org/10.1145/1531326.1531330): a good match of one patch is, moved along, a good match of its neighbours
(propagation), and near a good match lie better ones (random search). Here all patches look at once: propagation goes by shifts of the
whole field over 1, 2, 4 and 8 pixels, as in jump flooding (Rong & Tan 2006, https://doi.org/10.1145/1111411.1111431).

A pixel is one number, its row times the width plus its column.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sfumato.nn.dilation import dilated_by_square

Field: TypeAlias = Int64[Tensor, " _t"]
"""Pixels: for each of the patches to fill in, the centre of its match, or its own centre."""
Distances: TypeAlias = Float[Tensor, " _t"]

_SHIFTS = (8, 4, 2, 1)
"""Pixels from which matches are taken over, the far ones first."""
_AT_ONCE = 1 << 15
"""Patches compared at once: each is held twice, as a few hundred numbers."""


@dataclass(frozen=True)
class Patches:
    """The patches of an image, read without a copy of each; their sides are 2 `radius` + 1 pixels."""

    features: Float[Tensor, "h w f"]
    """What is compared, at each pixel; contiguous."""
    radius: int

    @property
    def width(self) -> int:
        """Columns of the image."""
        return self.features.shape[1]

    def offsets(self) -> Int64[Tensor, " k"]:
        """From a patch's centre to each of its pixels, row by row."""
        reach = torch.arange(-self.radius, self.radius + 1)
        return (reach[:, None] * self.width + reach).flatten()

    def at(self, centres: Field) -> Float[Tensor, "_t d"]:
        """The patches with these `centres`, which lie at least a radius inside the image."""
        (h, w, f), side = self.features.shape, 2 * self.radius + 1
        rows = self.features.as_strided((h * w - side + 1, side * f), (f, 1))  # each row of each patch, overlapping
        first = centres - self.radius * (w + 1)
        starts = first[:, None] + torch.arange(side) * w
        return rows.index_select(0, starts.flatten()).reshape(len(centres), -1)


class Match(NamedTuple):
    """A nearest-neighbour field and the mean squared differences of its pairs."""

    field: Field
    distances: Distances


@dataclass(frozen=True)
class Search:
    """Where matches are wanted, and where they may lie."""

    targets: Field
    """Centres of the patches that touch the hole, in rising order."""
    allowed: Bool[Tensor, "h w"]
    """Centres of the patches that are known whole; at least one."""

    def places(self) -> Int64[Tensor, " p"]:
        """For each pixel of the image the number of the target that it is the centre of, or -1."""
        return torch.full((self.allowed.numel(),), -1).index_put_((self.targets,), torch.arange(len(self.targets)))

    def start(self, rng: torch.Generator) -> Field:
        """A field that is drawn."""
        sources = self.allowed.flatten().nonzero()[:, 0]
        return sources[torch.randint(len(sources), (len(self.targets),), generator=rng)]

    def compared(self, patches: Patches, field: Field) -> Match:
        """`field` with its distances."""
        pairs = zip(self.targets.split(_AT_ONCE), field.split(_AT_ONCE), strict=True)
        return Match(field, torch.cat([(patches.at(a) - patches.at(b)).square_().mean(dim=1) for a, b in pairs]))

    def improved(self, patches: Patches, match: Match, *, rounds: int, rng: torch.Generator) -> Match:
        """`match` after so many rounds of propagation and random search; no distance grows."""
        h, w = self.allowed.shape
        place = self.places()
        for _ in range(rounds):
            for shift in _SHIFTS:
                for way in (-shift, shift, -shift * w, shift * w):
                    match = self._propagated(patches, match, place, way)
            reach = max(h, w)
            while reach >= 1:
                match = self._drawn(patches, match, reach, rng)
                reach //= 2
        return match

    def _propagated(self, patches: Patches, match: Match, place: Field, way: int) -> Match:
        """Each target tries its neighbour's match, moved back by as much as the neighbour lies `way`."""
        neighbours = place[(self.targets + way).clamp(0, len(place) - 1)]
        chosen = (neighbours >= 0).nonzero()[:, 0]
        return self._tried(patches, match, chosen, match.field[neighbours[chosen]] - way)

    def _drawn(self, patches: Patches, match: Match, reach: int, rng: torch.Generator) -> Match:
        """Each target tries a place that is drawn within `reach` rows and columns of its match."""
        h, w = self.allowed.shape
        moves = torch.randint(-reach, reach + 1, (2, len(self.targets)), generator=rng)
        rows = (match.field // w + moves[0]).clamp(0, h - 1)
        columns = (match.field % w + moves[1]).clamp(0, w - 1)
        return self._tried(patches, match, torch.arange(len(self.targets)), rows * w + columns)

    def _tried(self, patches: Patches, match: Match, chosen: Field, candidates: Field) -> Match:
        """`match` where for some `chosen` targets the candidate is taken if it is allowed and nearer."""
        allowed = self.allowed.flatten()
        inside = (candidates >= 0) & (candidates < len(allowed))
        fine = inside & allowed[candidates.clamp(0, len(allowed) - 1)] & (candidates != match.field[chosen])
        chosen, candidates = chosen[fine], candidates[fine]
        if not len(chosen):
            return match
        there = Search(self.targets[chosen], self.allowed).compared(patches, candidates).distances
        nearer = there < match.distances[chosen]
        field, distances = match.field.clone(), match.distances.clone()
        field[chosen[nearer]], distances[chosen[nearer]] = candidates[nearer], there[nearer]
        return Match(field, distances)


def searched(hole: Bool[Tensor, "h w"], trusted: Bool[Tensor, "h w"], *, radius: int) -> Search:
    """Matches for every patch of this radius inside the image that touches the `hole`, among those that are `trusted` whole."""
    touched, doubtful = (dilated_by_square(p[None, None].float(), radius)[0, 0] > 0 for p in (hole, ~trusted))
    inside = torch.zeros_like(hole)
    inside[radius : hole.shape[0] - radius, radius : hole.shape[1] - radius] = True
    return Search((touched & inside).flatten().nonzero()[:, 0], ~doubtful & inside)
