"""The roles in which a network can be measured."""

from typing import NamedTuple

from torch import nn

from sfumato.core.errors import SettingError
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.codec import Codec
from sfumato.models.roles.generator import Generator
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.restorer import Restorer


class Roles(NamedTuple):
    """A network in each of the roles in which it can be measured; None for a role that it does not fill."""

    classifier: Classifier | None
    latent_variable_model: LatentVariableModel | None
    generator: Generator | None
    restorer: Restorer | None


def roles_of(network: nn.Module) -> Roles:
    """The roles of `network`, each of which is measured in its own way."""
    return Roles(
        classifier=network if isinstance(network, Classifier) else None,
        latent_variable_model=network if isinstance(network, LatentVariableModel) else None,
        generator=network if isinstance(network, Generator) else None,
        restorer=network if isinstance(network, Restorer) else None,
    )


def measurable_roles(network: nn.Module) -> Roles:
    """The roles of `network`. Raises SettingError if it fills none that is measured without a degradation."""
    roles = roles_of(network)
    if roles.restorer is not None:
        raise SettingError(
            "this model repairs images: name a degradation with --restore, such as noise:25 or x2 (evaluation/benchmark.py in Python)"
        )
    if isinstance(network, Codec):
        raise SettingError("this model compresses pictures: add --compress, and name pictures with --data (evaluation/codecs.py in Python)")
    if roles.classifier is None and roles.generator is None:
        raise SettingError(f"there is no measurement for a {type(network).__name__}; name a generator, a classifier or a restorer")
    return roles
