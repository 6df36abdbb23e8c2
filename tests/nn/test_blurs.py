import math

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.nn.blurs import Blur, named, point_spread

KINDS = pytest.mark.parametrize("kind", ["gaussian", "defocus", "motion"])


@KINDS
def test_point_spreads_sum_to_one_and_grow(kind):
    few, many = (point_spread(kind, size, count=2) for size in (1.5, 6))
    for kernels in (few, many):
        torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
        assert kernels.shape[1] == kernels.shape[2]
        assert kernels.shape[1] % 2 == 1
    assert few[0].max() > many[0].max()


@pytest.mark.parametrize("blur", [Blur("gaussian", 2.5), Blur("defocus", 6.0), Blur("motion", 15.0), Blur("motion", 16.0, 60.0)], ids=str)
def test_sigma_is_that_of_its_kernel(blur):
    kernel = blur.kernels()[0].double()
    place = torch.arange(len(kernel)).double() - len(kernel) // 2
    turn = math.radians(blur.angle)
    along = place * math.cos(turn) + place[:, None] * math.sin(turn)
    across = place[:, None] * math.cos(turn) - place * math.sin(turn)
    wide, narrow = ((kernel * axis.square()).sum() for axis in (along, across))
    assert blur.widest == pytest.approx(wide.sqrt().item(), rel=0.03)
    assert blur.sigma == pytest.approx(((wide + narrow) / 2).sqrt().item(), rel=0.03)


@pytest.mark.parametrize("text", ["gaussian:1.6", "defocus:3", "motion:9@30", "motion:4.5@0"])
def test_names_are_read_as_they_are_written(text):
    assert str(named(text)) == text
    assert torch.equal(named(text).kernels(2)[1:], named(text).kernels())


def test_a_way_without_direction_is_level():
    assert named("motion:7") == Blur("motion", 7.0, 0.0)


@pytest.mark.parametrize("text", ["box:3", "gaussian", "gaussian:", "gaussian:-1", "gaussian:1@30", "motion:9@", "gaussian:1.6 ", ""])
def test_other_names_are_refused(text):
    with pytest.raises(SettingError, match="is not a blur; write gaussian"):
        named(text)


@pytest.mark.parametrize("size", ["0", "101"])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(SettingError, match=f"motion of size {size} is outside"):
        named(f"motion:{size}")
