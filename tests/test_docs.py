"""What the pages say is what the code does: Python blocks run, commands name what exists, links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
from torch.distributed.run import get_args_parser

from sfumato import cli
from sfumato.recipes import RECIPES, recipe

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


UNTIMED = ("commands", "resume")
"""Benchmarks that speak of times and print none."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def translated(page: Path) -> bool:
    """Whether a page is a translation: its blocks are those of the original, which tests/test_translations.py compares."""
    return page.parent.name == "zh" or page.name.endswith(".zh-CN.md")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and not translated(p)], ids=lambda p: p.name)
@pytest.mark.usefixtures("apart")
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space: dict = {"__name__": "docs"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), space)  # the pages are ours
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_name_what_exists(page):
    text = page.read_text(encoding="utf-8")
    commands = [line for block in blocks(page, "") for line in block.splitlines() if line.startswith("sfumato ")]
    commands += re.findall(r"`(sfumato [a-z][^`\n]*)`", text)
    for command in commands:
        verb, *rest = shlex.split(command.split("#")[0])[1:]
        assert verb in cli.verbs or verb.startswith("-"), command
        if verb == "train" and rest and not rest[0].startswith("-") and rest[0] != "RECIPE":
            if rest[0].replace("-", "_") in re.findall(r"^def (\w+)\(\) -> TrainSettings", text, re.M):  # a plug-in's
                continue
            assert rest[0] in RECIPES, command
            known = set(_flags(recipe(rest[0])))
            for flag in (w for w in rest if w.startswith("--")):
                assert flag[2:].replace("-", "_") in known | {"out", "device", "threads", "help"}, f"{flag} in: {command}"


@pytest.mark.parametrize("page", [p for p in PAGES if "\ntorchrun " in p.read_text(encoding="utf-8")], ids=lambda p: p.name)
def test_torchrun_takes_no_option_of_ours_for_its_own(page):
    commands = [line for block in blocks(page, "") for line in block.splitlines() if line.startswith("torchrun ")]
    for command in commands:
        taken = get_args_parser().parse_args([*shlex.split(command)[1:], "--start", "runs/first"])  # alone, --start means --start-method
        assert taken.training_script == "sfumato", command
        assert taken.training_script_args[-2:] == ["--start", "runs/first"], command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


DURATION = re.compile(r"\d (?:ms|s|seconds|min|minutes|hours?)\b|/s\b|\bseconds\b")


def sections(page: Path) -> list[str]:
    """The text of a page from each heading to the next."""
    return re.split(r"^(?=#+ )", page.read_text(encoding="utf-8"), flags=re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_tables_of_speeds_name_the_instruction_set_of_the_processor(page):
    """In their section, as `core.device.instructions` words it."""
    for section in sections(page):
        timed = [line for line in section.splitlines() if line.startswith("|") and DURATION.search(line)]
        assert not timed or re.search(r"\bAVX-?512|\bAVX2", section), f"on what processor? {timed[0]}"


def test_benchmarks_of_speeds_print_the_instruction_set_of_the_processor():
    for program in (ROOT / "benchmarks").glob("*.py"):
        source = program.read_text(encoding="utf-8")
        timed = re.search(r"\b(?:perf_counter|process_time|monotonic)\(|\bminutes\b", source)
        assert not timed or "print(instructions())" in source or program.stem in UNTIMED, program.name


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_a_heading(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert anchor in anchors(page.parent / target if target else page), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_source_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        of_reader = f"`{Path(name).name}`" in text  # a file that the page shows how to write
        assert of_reader or (ROOT / name).exists() or (ROOT / "sfumato" / name).exists(), f"{page.name} names {name}"


def _flags(config, prefix=""):
    for name, value in vars(config).items():
        if hasattr(value, "__dataclass_fields__"):
            yield from _flags(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_named_version_of_torch_is_the_tested_one(page):
    (tested,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"torch==([^\s`]+)", page.read_text(encoding="utf-8"))) <= {tested}


def test_who_installs_is_not_given_cuda_unasked():
    """PyTorch for the processor comes first, in a line of its own: the line after it takes the PyTorch that is there."""
    first, second = blocks(ROOT / "README.md", "")[0].splitlines()
    assert re.fullmatch(r"pip install torch==\S+ --index-url https://download\.pytorch\.org/whl/cpu", first)
    assert second.startswith("pip install -c constraints.txt -e .")
    (constrained,) = re.findall(r"^torch==.*", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert "+" not in constrained, "either build fulfils it"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/models.md", "docs/licences.md"])
def test_the_tables_are_the_cards(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from scripts import tables

    page = ROOT / name
    assert tables.write(page) == page.read_text(encoding="utf-8"), "run python -m scripts.tables"


def test_every_bundled_weight_file_and_every_extra_stands_on_the_page_of_licences():
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    files = {path.stem for path in (ROOT / "sfumato" / "weights").glob("*.safetensors")}
    assert files
    listed = re.findall(r"^\| `([\w-]+)` \| ([\w.-]+) \| \S.*: \S.* \|$", text, re.M)
    assert files == {name for name, _ in listed}
    assert {licence for _, licence in listed} == {"Apache-2.0"}
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]) - {"dev"}
    assert extras <= set(re.findall(r"`([a-z]+)`", text))


def test_the_citation_names_this_version():
    (version,) = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert version == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
