"""Files that people take for weights are named for what they are, by their content, in one line with what to do."""

import gzip
import io
import pickle  # noqa: TID251  to make what must be refused
import re
import subprocess
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.core.errors import CheckpointError
from sfumato.store import checkpoint, foreign, unsupported
from sfumato.store.importing import import_weights


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return out.getvalue()


def packed():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        file.addfile(tarfile.TarInfo("net.pth"))
    return out.getvalue()


def array():
    out = io.BytesIO()
    np.save(out, np.ones(3))
    return out.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
CONTENTS = {
    "empty": (b"", "is empty; download it again"),
    "page": (b"\n<!DOCTYPE html><html><title>Log in</title>", "a web page"),
    "page in capitals": (b"<HTML><HEAD>", "a web page"),
    "refusal": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML text"),
    "words": (b"404: Not Found", "a server's refusal"),
    "pointer": (LFS, "a Git LFS pointer.*run git lfs pull"),
    "settings": (b'{"_class_name": "UNet"}', "JSON text"),
    "matlab": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file"),
    "matlab 7.3": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "a MATLAB file of version 7.3.*-v7"),
    "keras": (b"\x89HDF\r\n\x1a\n\x00\x00", "an HDF5 file"),
    "keras 3": (zipped("metadata.json", "config.json", "model.weights.h5"), "a network of Keras"),
    "lite": (b"\x1c\x00\x00\x00TFL3\x14", "TensorFlow Lite"),
    "saved model": (b"\x08\x01\x12\x90\x03", "TensorFlow .SavedModel."),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "in ONNX"),
    "index": (b"\x00\x00\x01" * 40 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "a checkpoint of TensorFlow"),
    "gzip": (gzip.compress(b"net"), "archive.*unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00", "archive.*unpack it"),
    "tar": (packed(), "archive.*unpack it"),
    "zip": (zipped("readme.txt", "net.pth"), "a zip archive.*unpack it"),
    "npz": (zipped("a.npy"), "a NumPy archive"),
    "npy": (array(), "one NumPy array"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "gguf": (b"GGUF\x03\x00", "GGUF"),
    "paper": (b"%PDF-1.7", "a PDF"),
}


@pytest.mark.parametrize("ending", [".pkl", ".pth", ".pt", ".ckpt", ".safetensors", ".bin"])
@pytest.mark.parametrize("which", CONTENTS)
def test_what_is_no_file_of_weights_is_named_by_its_content(which, ending, tmp_path):
    content, saying = CONTENTS[which]
    path = tmp_path / f"net{ending}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=saying) as told:
        import_weights(path, tmp_path / "out.safetensors")
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)
    if which not in ("index",):
        with pytest.raises(CheckpointError, match=saying):
            checkpoint.load(path)


@pytest.mark.parametrize("name", ["model.ckpt-1000.data-00000-of-00001", "frozen.pb", "net.caffemodel", "net.mlmodel", "net.t7"])
def test_what_has_no_first_bytes_of_its_own_is_named_by_its_name(name, tmp_path):
    (tmp_path / name).write_bytes(bytes(range(1, 200)))
    assert re.match(r"is a (checkpoint|network) of .* not weights that can be read; import", unsupported.named(tmp_path / name))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_whole_module_is_named_and_the_way_told(zip_format, tmp_path):
    for model in (Net(), nn.Sequential(nn.Conv2d(3, 3, 3))):
        torch.save(model, tmp_path / "net.pth", _use_new_zipfile_serialization=zip_format)
        torch.save({"epoch": 1, "model": model}, tmp_path / "run.pth", _use_new_zipfile_serialization=zip_format)
        for name in ("net.pth", "run.pth"):
            with pytest.raises(CheckpointError, match=r"refused, nothing of it was run: .* a whole model .*save model\.state_dict\(\)"):
                import_weights(tmp_path / name)


def test_torchscript_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as file:
        file.writestr("net/data.pkl", b"\x80\x02c__torch__\nNet\n)\x81.")
        file.writestr("net/code/__torch__.py", b"class Net(Module):")
    with pytest.raises(CheckpointError, match="a network in TorchScript"):
        import_weights(tmp_path / "net.pt")


def test_a_checkpoint_of_lightning_is_named_or_read(tmp_path, monkeypatch):
    module = types.ModuleType("pytorch_lightning.utilities.parsing")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    for place in ("pytorch_lightning", "pytorch_lightning.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, place, module)
    state = {"state_dict": {"stem.weight": torch.ones(4, 3, 3, 3)}, "pytorch-lightning_version": "2.1.0", "epoch": 3}
    torch.save(state, tmp_path / "plain.ckpt")
    with pytest.raises(CheckpointError, match="no known layout"):
        import_weights(tmp_path / "plain.ckpt")
    torch.save({**state, "hyper_parameters": module.AttributeDict(lr=0.1)}, tmp_path / "net.ckpt")
    with pytest.raises(CheckpointError, match=r"PyTorch Lightning .*save its \['state_dict'\] alone"):
        import_weights(tmp_path / "net.ckpt")


@pytest.mark.parametrize(
    "title", ["posix.system", "builtins.eval", "subprocess.Popen", "builtins.Exception", "commands.Popen", "x", "", "a b.C"]
)
def test_nobody_is_told_to_load_what_may_do_harm(title):
    assert unsupported.asked_for(title) == ""


def test_code_is_refused_as_before(tmp_path):
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(subprocess.Popen, protocol=2))
    with pytest.raises(CheckpointError, match=r"it asks for (commands|subprocess)\.Popen, which is code$"):
        import_weights(tmp_path / "net.pkl")


NAMES = {
    "SPAN": ["conv_1.sk.weight", "block_1.c1_r.sk.weight", "block_1.c1_r.eval_conv.weight", "upsampler.0.weight"],
    "PLKSR": ["feats.0.weight", "feats.1.lk.conv.weight"],
    "DAT": ["conv_first.weight", "layers.0.blocks.0.attn.attns.0.rpe_biases"],
    "OmniSR": ["residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "input.weight", "up.0.weight"],
    "CARN": ["entry.weight", "b1.b1.body.0.weight", "b1.b2.body.0.weight", "b1.c1.body.0.weight"],
    "RCAN": ["head.0.weight", "body.0.body.0.weight", "body.0.body.0.body.3.conv_du.0.weight", "tail.0.0.weight"],
    "EDSR": ["head.0.weight", "body.0.body.0.weight", "tail.0.0.weight"],
    "Swin2SR": ["conv_first.weight", "layers.0.residual_group.blocks.0.attn.logit_scale"],
    "a form of SwinIR": ["absolute_pos_embed", "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"],
    "HAT": ["layers.0.residual_group.blocks.0.attn.qkv.weight", "layers.0.residual_group.overlap_attn.qkv.weight"],
    "Restormer for pairs": ["patch_embed.proj.weight", "encoder_level1.0.attn.temperature", "skip_conv.weight"],
    "a form of LaMa": ["generator.model.1.ffc.convl2l.weight", "generator.model.5.conv1.ffc.convg2g.lfu.conv_layer.weight"],
    "FBCNN": ["m_head.weight", "qf_pred.0.weight"],
    "GFPGAN": ["stylegan_decoder.style_mlp.1.weight"],
    "Stable Diffusion": ["model.diffusion_model.input_blocks.0.0.weight"],
    "CycleGAN": ["model.1.weight", "model.10.conv_block.1.weight"],
    "ResNet": ["conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight", "fc.weight"],
    "a vision transformer": ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"],
    "lpips-alex": ["lin0.model.1.weight", "lin1.model.1.weight"],
}


@pytest.mark.parametrize("which", NAMES)
def test_well_known_families_are_named_by_their_tensors(which, tmp_path):
    torch.save({name: torch.ones(2, 2) for name in NAMES[which]}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=f"has the names of .*{which}.*, which no network here runs; known are"):
        foreign.load(tmp_path / "net.pth")


def test_the_content_and_not_the_ending_says_how_a_file_is_read(tmp_path):
    state = {"stem.weight": torch.rand(4, 3, 3, 3)}
    torch.save(state, tmp_path / "net.safetensors")
    save_file(state, tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        assert torch.equal(foreign.read(tmp_path / name)[0]["stem.weight"], state["stem.weight"])


def test_nothing_is_said_of_what_may_hold_weights_or_is_not_there(tmp_path):
    for zip_format in (True, False):
        torch.save({"a": torch.ones(900)}, tmp_path / "net.pth", _use_new_zipfile_serialization=zip_format)
        assert unsupported.named(tmp_path / "net.pth") == ""
    save_file({"a": torch.ones(900)}, tmp_path / "net.bin")
    assert unsupported.named(tmp_path / "net.bin") == ""
    assert unsupported.named(tmp_path / "absent.pth") == ""
    assert unsupported.named(tmp_path) == ""


def test_what_the_file_is_is_told_before_what_is_wrong_with_the_place_of_the_result(tmp_path):
    page = tmp_path / "model.safetensors"
    page.write_text("<!DOCTYPE html><html><body>404</body></html>")
    with pytest.raises(CheckpointError, match="web page"):
        import_weights(page)
    pointer = tmp_path / "other.pth"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    (tmp_path / "other.safetensors").write_text("in the way")
    with pytest.raises(CheckpointError, match="LFS"):
        import_weights(pointer)


@pytest.mark.parametrize("name", ["noise.onnx", "noise.pth", "noise.pt", "noise.pkl", "noise.safetensors", "noise"])
def test_bytes_at_random_are_no_file_of_weights_whatever_they_are_called(name, tmp_path):
    for seed in range(20):
        content = np.random.default_rng(seed).bytes(3000)
        (tmp_path / name).write_bytes(bytes([content[0] & 0x7F]) + content[1:])  # what begins as a pickle is read as one
        with pytest.raises(CheckpointError, match=f"{name}: (is|damaged)") as told:
            import_weights(tmp_path / name, tmp_path / "out.safetensors")
        assert "pickle" not in str(told.value)
