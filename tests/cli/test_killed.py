"""A verb that was killed while it wrote goes on with the same command: what is whole is left alone, what is half written is swept."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sfumato.cli import main
from sfumato.core import atomic_io
from sfumato.core.tensors import to_pixels
from sfumato.io.files import save_image

DYING = """
import os, signal, sys
from sfumato.cli import main

left, fsync = [int(sys.argv[1])], os.fsync

def die_in_time(descriptor):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)

os.fsync = die_in_time
main(sys.argv[2:])
"""
"""Kills itself while its n-th file is half written: each file is brought to the disk once before it takes its place."""

QUICK = ("--network", "fashion-classifier", "--layer", "stages.7", "--steps", "1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "dies_at", "whole", "said"),
    [
        (("generate", "digits", "-n", "6"), 4, {"00000", "00001", "00002"}, "6 images in out, 3 of them done before"),
        (("dream", "album", *QUICK, "--octaves", "1"), 4, {"a"}, "[1/3] album/a.png: done before -> out/a.png"),
        (("dream", *QUICK, "--size", "28", "--n", "3", "--space", "pixels"), 4, {"00000"}, "done before -> out/00000.png"),
    ],
    ids=["generate", "dream a folder", "dream from noise"],
)
def test_what_was_killed_goes_on_and_ends_as_if_it_had_not_been(words, dies_at, whole, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate("abc"):
        images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(i))
        save_image(Path("album", f"{name}.png"), to_pixels(images))
    command = [*words, "--out", "out", "--threads", "1"]
    killed = subprocess.run([sys.executable, "-c", DYING, str(dies_at), *command], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert len(list(Path("out").glob(atomic_io.LEFTOVER))) == 1
    before = {path.stem: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    assert {name.partition("-")[0] for name in before} == whole
    main(command)
    assert said in capsys.readouterr().out
    assert not list(Path("out").glob(atomic_io.LEFTOVER))
    assert {name: Path("out", f"{name}.png").stat().st_mtime_ns for name in before} == before
    main([*words, "--out", "fresh", "--threads", "1"])
    for path in Path("fresh").glob("[!.m]*"):  # neither the ledger nor the manifest
        assert (Path("out") / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_dreams_of_other_settings_are_made_anew_and_those_of_others_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        save_image(Path("album", f"{name}.png"), to_pixels(torch.rand(1, 1, 28, 28)))
    command = ["dream", "album", *QUICK, "--octaves", "1", "--out", "out", "--threads", "1"]
    main(command)
    first = Path("out/a.png").read_bytes()
    main([*command, "--strength", "2"])
    assert Path("out/a.png").read_bytes() != first, "what we made ourselves may be made anew with other settings"
    save_image(Path("out/a.png"), to_pixels(torch.zeros(1, 1, 28, 28)))
    painted = Path("out/a.png").read_bytes()
    with pytest.raises(SystemExit):
        main(command)
    assert "1 of 2 pictures failed" in capsys.readouterr().err
    assert Path("out/a.png").read_bytes() == painted
    main([*command, "--overwrite"])
    assert Path("out/a.png").read_bytes() == first
