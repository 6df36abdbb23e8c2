"""Shapes and types are checked at run time in tests, and only there."""

from jaxtyping import install_import_hook

install_import_hook("sfumato", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import os  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def photos():
    """Eight 16x16 smooth colour images in [0, 1]."""
    t = torch.linspace(0, 1, 16)
    colour = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return (colour * t[None, None, :, None] * 0.5 + 0.5 * t[None, None, None, :]).contiguous()


@pytest.fixture(scope="session")
def real_data():
    """Folder of real data sets; the test is skipped where there is none."""
    folder = os.environ.get("SFUMATO_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SFUMATO_DATA does not name a folder of real data")
    return Path(folder)
