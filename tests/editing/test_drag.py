"""Points go where they are dragged: judged by where a disc really is, and by the network's own features."""

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.editing.drag import drag, mask_of, patches, tracked
from sfumato.editing.latent_image import LatentImage, drawn
from sfumato.io.inputs import brightness
from sfumato.models.roles.style_generator import StyleGenerator


class Disc(StyleGenerator):
    """Paints a disc where its style says, in pixels from the middle over 8; the third number is its brightness."""

    def __init__(self):
        super().__init__()
        self.latent_dim = self.style_dim = 3
        self.channels, self.size, self.classes = 1, (64, 64), 0
        self.register_parameter("none", torch.nn.Parameter(torch.zeros(1)))

    def synthesize(self, styles, labels=None, steering=None):
        def seen(side):
            at = (torch.arange(side) + 0.5) * 64 / side - 32
            x = at[None, None, :] - 8 * styles[:, 0, 0, None, None]
            y = at[None, :, None] - 8 * styles[:, 0, 1, None, None]
            near = (-(x.square() + y.square()) / 200).exp()
            return torch.stack([near, near * x / 8, near * y / 8], dim=1)

        if steering is not None and steering.feature_maps is not None:
            steering.feature_maps.extend([seen(16), seen(32), seen(64)])
        return (seen(64)[:, :1] > 0.7) * (0.6 + 0.1 * styles[:, :, 2, None, None].tanh()) + self.none


def middle(image):
    mass = image[0, 0] / image.sum()
    at = torch.arange(64.0)
    return (mass.sum(0) @ at).item(), (mass.sum(1) @ at).item()


@pytest.mark.parametrize("goal", [(42, 32), (32, 22), (25, 39)])
def test_a_disc_really_goes_where_its_middle_is_dragged(goal):
    network = Disc()
    done = drag(network, LatentImage(styles=torch.zeros(1, 1, 3)), [(31.5, 31.5)], [goal])
    assert done.steps < 100
    assert max(abs(a - b) for a, b in zip(middle(done.images[1:]), goal, strict=True)) <= 2
    assert middle(done.images[:1]) == pytest.approx((31.5, 31.5), abs=0.1)


@pytest.mark.parametrize("name", ["fashion", "digits-vae", "stylegan"])
def test_a_point_arrives_in_every_family(untrained, name):
    network = untrained("stylegan", classes=2) if name == "stylegan" else sf.load(name).network
    told, subject = [], drawn(network, 3)
    done = drag(network, subject, [(14, 9)], [(14, 15)], on_progress=lambda _, far: told.append(far))
    assert told[0] == 6
    assert done.distance == told[-1] <= 2
    assert torch.equal(done.latent_image.styles[:, network.styles // 2 + 1 :], subject.styles[:, network.styles // 2 + 1 :])


def test_a_mask_is_read_as_by_every_other_verb(untrained):
    """White is where the brightest channel is bright and the picture opaque, in every kind of picture."""
    network = untrained("stylegan", size=(8, 8))
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 0], pixels[4:, :, :3] = 255, 255
    pixels[:, :4, 3] = 255
    expected = brightness(pixels)
    assert expected.sum() == 32
    assert torch.equal(mask_of(pixels, network), expected)
    assert torch.equal(mask_of(Image.fromarray(pixels), network), expected)


def test_what_the_mask_keeps_changes_less(untrained):
    network = untrained("stylegan")
    mask = torch.zeros(1, 1, 32, 32)
    mask[:, :, :, :16] = 1
    free, held = (drag(network, drawn(network, 1), [(6, 16)], [(9, 16)], mask=m, steps=25).images for m in (None, mask))
    kept = [(x[1] - x[0])[:, :, 20:].abs().mean().item() for x in (free, held)]
    assert kept[1] < kept[0]


def test_a_point_is_found_by_its_features():
    maps = torch.rand(1, 5, 32, 32, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([[10.0, 12.0], [20.0, 9.0]])
    assert torch.equal(tracked(maps.roll((1, -2), dims=(2, 3)), patches(maps, at), at, reach=3), at + torch.tensor([-2.0, 1.0]))


def test_what_cannot_be_dragged_is_one_line(untrained):
    network = untrained("vae")
    subject = drawn(network, 0)
    with pytest.raises(SettingError, match="40,3 is outside the image of 32 x 32"):
        drag(network, subject, [(40, 3)], [(3, 3)])
    with pytest.raises(SettingError, match="1 points, 2 targets"):
        drag(network, subject, [(4, 3)], [(3, 3), (5, 5)])
    with pytest.raises(SettingError, match="the mask is 8 x 8"):
        drag(network, subject, [(4, 3)], [(3, 3)], mask=torch.ones(1, 1, 8, 8))
    with pytest.raises(SettingError, match="layers 0-4 are not among 0-0"):
        drag(network, subject, [(4, 3)], [(3, 3)], layers=(0, 4))
