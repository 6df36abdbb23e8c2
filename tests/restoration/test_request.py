"""Requests: what is just allowed, what a method needs, and what a manifest compares."""

import json

import pytest

from sfumato import __version__
from sfumato.core.errors import SettingError
from sfumato.restoration.request import METHODS, PRIOR, RestorationRequest, needs_of, request_facts


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ({"strength": 0.0}, {"strength": -0.01}),
        ({"strength": 2.0}, {"strength": 2.01}),
        ({"noise": 0.0}, {"noise": -0.001}),
        ({"noise": 1.0}, {"noise": 1.001}),
        ({"memory": 7e8}, {"memory": 6.99e8}),
        ({"task": "upscale", "scale": 1}, {"task": "upscale", "scale": 0}),
        ({"task": "upscale", "strength": 1.0}, {"task": "upscale", "strength": 0.9}),
        ({"task": "upscale", "method": "bicubic"}, {"task": "denoise", "method": "bicubic"}),
        ({"task": "deblur", "blur": "gaussian:1"}, {"task": "denoise", "blur": "gaussian:1"}),
        ({"task": "auto", "blur": "gaussian:1"}, {"task": "auto", "blur": "gaussian:0"}),
        ({"method": "median", "ensemble": 1}, {"method": "median", "ensemble": 4}),
        ({"method": "median", "precision": "fp32"}, {"method": "median", "precision": "bf16"}),
        ({"method": "wiener", "noise": 0.1}, {"method": "median", "noise": 0.1}),
        ({"method": "wiener", "blur": "gaussian:1"}, {"method": "telea", "blur": "gaussian:1"}),
        ({"method": "telea", "task": "inpaint"}, {"method": "telea", "task": "jpeg"}),
        ({"find": ("scratches", "dead-pixels")}, {"find": ("scratches",), "blur": "gaussian:1"}),
    ],
)
def test_the_bounds_of_a_request(allowed, refused):
    RestorationRequest(**allowed).check()
    with pytest.raises(SettingError):
        RestorationRequest(**refused).check()


def test_needs():
    assert needs_of(None) == needs_of("median") == needs_of(PRIOR) == needs_of("no such method") == ()
    assert set(needs_of("wiener")) >= {"noise", "kernels"}
    assert "observed" in needs_of("telea")
    assert PRIOR in METHODS


def test_facts_are_what_results_depend_on():
    facts = request_facts(RestorationRequest(method="median"))
    assert facts == json.loads(json.dumps(facts))
    assert facts["sfumato"] == __version__
    assert not {"device", "memory", "tile", "weights"} & set(facts)
    assert facts == request_facts(RestorationRequest(method="median", memory=3e9, tile=64, device="cpu"))
    assert facts != request_facts(RestorationRequest(method="median", strength=0.5))


def test_facts_name_the_weights(restorer, tmp_path):
    bundled, enlarging = request_facts(RestorationRequest()), request_facts(RestorationRequest(task="upscale", scale=4))
    assert set(bundled["weights"]) == {"restore", "denoise", "deblock", "deblur", "inpaint"}
    assert set(enlarging["weights"]) == {"denoise", "deblock", "upscale-x4", "upscale-jpeg-x4"}
    twice = request_facts(RestorationRequest(task="upscale"))
    assert set(twice["weights"]) == {"denoise", "deblock", "upscale-x2", "upscale-jpeg-x2"}
    assert set(request_facts(RestorationRequest(task="upscale", scale=5.5))["weights"]) == set(enlarging["weights"])
    one, other = restorer(), restorer()
    assert request_facts(RestorationRequest(model=one)) == request_facts(RestorationRequest(model=other))
    other.convolution.weight += 1
    assert request_facts(RestorationRequest(model=one)) != request_facts(RestorationRequest(model=other))
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"weights")
    named = request_facts(RestorationRequest(model=str(path)))
    assert named["model"] == "net.safetensors", "without its folder"
    path.write_bytes(b"others")
    assert request_facts(RestorationRequest(model=str(path)))["weights"] != named["weights"]
