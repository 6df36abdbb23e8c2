"""The Python API is complete: every verb of the command line, every type that they take and return, and a page that shows them."""

import ast
import inspect
import re
import warnings
from pathlib import Path

import pytest

import sfumato as sf
from sfumato import cli
from sfumato.core import errors
from sfumato.store.loaded import LoadedModel

ROOT = Path(__file__).parent.parent
OTHER_NAMES = {"train": "fit", "import": "import_weights", "models": "list_models", "get": "get_weights"}
"""Verbs of another name in Python: `sfumato.train` and `sfumato.models` are rooms, and `import` is a word of the language."""
OF_SHELLS = {"completion", "studio"}
"""Verbs for a shell, and for a browser, whose pages call the other functions."""


def test_every_verb_of_the_command_line_is_a_function():
    verbs = {OTHER_NAMES.get(name, name) for name in cli.verbs if name not in OF_SHELLS}
    assert not verbs - set(sf.__all__)
    for name in verbs:
        function = getattr(sf, name)
        assert inspect.isfunction(inspect.unwrap(function)), name
        assert inspect.getdoc(function), name


def test_every_public_name_is_known_to_type_checkers():
    assert len(sf.__all__) == len(set(sf.__all__))
    tree = ast.parse((ROOT / "sfumato" / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.asname or alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(sf.__all__) == set(sf._HOMES)
    for name in sf.__all__:
        value = getattr(sf, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith("sfumato"), name


def test_every_error_is_public():
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.SfumatoError)}
    assert not raised - set(sf.__all__)


def annotated_types(function):
    """The public classes of the package in the annotations of a function."""
    for parameter in [*inspect.signature(function).parameters.values()]:
        yield parameter.annotation
    yield inspect.signature(function).return_annotation


def classes_in(annotation):
    if inspect.isclass(annotation):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from classes_in(argument)


INSIDE = {"BinaryFile", "DreamNetwork", "FeatureExtractor", "Found"}
"""Classes that a caller need not name, and a role, which the authors of networks import from its room."""


def test_every_type_that_a_verb_takes_or_returns_is_public():
    public = {getattr(sf, name) for name in sf.__all__ if inspect.isclass(getattr(sf, name))}
    for name in sf.__all__:
        function = getattr(sf, name)
        if not inspect.isfunction(function):
            continue
        for annotation in annotated_types(inspect.unwrap(function)):
            for kind in classes_in(annotation):
                if kind.__module__.startswith("sfumato") and kind.__name__ not in INSIDE:
                    assert kind in public, f"{name} names {kind.__module__}.{kind.__name__}"


def test_whatever_takes_a_path_takes_its_text():
    for name in sf.__all__:
        function = getattr(sf, name)
        if not inspect.isfunction(function):
            continue
        for parameter in inspect.signature(inspect.unwrap(function)).parameters.values():
            kinds = set(classes_in(parameter.annotation))
            assert Path not in kinds or str in kinds or parameter.name == "check", f"{name}: {parameter}"


ON_DISK = {sf.TuningResult: "its folder", sf.Exported: "the file", sf.Pushed: "a hub", sf.Obtained: "the file", sf.PictureEntry: "the file"}
"""What a verb has already written as it returns, and where."""
SAID = {sf.Parity, sf.ModelEntry, sf.Diagnosis, sf.TrainSettings, sf.Degraded, sf.Picture, sf.Dataset, sf.Scenes}
"""Figures to read, a row of a list, and inputs of other verbs: `write` saves a `Picture`, and a recipe is a file of settings."""
RESULTS = sorted(
    {
        kind
        for name in sf.__all__
        if inspect.isfunction(inspect.unwrap(getattr(sf, name)))
        for kind in classes_in(inspect.signature(inspect.unwrap(getattr(sf, name))).return_annotation)
        if kind.__module__.startswith("sfumato.") and kind not in {*ON_DISK, *SAID, LoadedModel}
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_result_is_saved_in_one_way(kind):
    parameters = list(inspect.signature(kind.save).parameters.values())
    assert parameters[0].name == "self"
    assert parameters[1].name in ("path", "fp"), "fp is Pillow's"
    overwrite = inspect.signature(kind.save).parameters["overwrite"]
    assert (overwrite.kind, overwrite.default) == (inspect.Parameter.KEYWORD_ONLY, False)


def test_earlier_names_warn_and_work():
    for earlier, name in sf._EARLIER.items():
        with pytest.warns(DeprecationWarning, match=f"sfumato.{earlier} is now called sfumato.{name}"):
            assert getattr(sf, earlier) is getattr(sf, name)
        assert earlier not in sf.__all__


def test_earlier_attributes_and_arguments_warn_and_work(untrained):
    network = untrained("dcgan", size=(8, 8))
    latents = sf.latent_image(network, 3)
    move = sf.Move(vector=(1.0,) * network.style_dim, strength=1.0, layers=(0, 0))
    with pytest.warns(DeprecationWarning, match="the argument subject is now called latent_image"):
        edited = sf.edit(network, subject=latents, moves=[move])
    with pytest.warns(DeprecationWarning, match="Edited.subject is now called latent_image"):
        assert edited.subject is edited.latent_image


def test_the_pages_name_everything():
    pages = ("python-api.md", "python-pictures.md", "python-names.md")
    text = "\n".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in pages)
    words = set(re.findall(r"\bsf\.(\w+)|`(\w+)`", text))
    named = {one or other for one, other in words}
    assert not set(sf.__all__) - named
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    for name in cli.verbs:
        if name not in OF_SHELLS:
            assert f"sf.{OTHER_NAMES.get(name, name)}(" in examples, f"no example of {name}"


def test_importing_the_package_imports_no_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = (ROOT / "sfumato" / "__init__.py").read_text(encoding="utf-8")
    outside = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", None) or node.names[0].name for node in outside}
    light = {"sfumato.core.after_import", "sfumato.core.openmp", "sfumato.core.pillow_format"}
    assert modules == {"importlib", "warnings", "typing", *light}
