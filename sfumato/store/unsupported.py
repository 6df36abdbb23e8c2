"""What a file is that holds no weights that can be read, in words and with what to do: three tables.

FORMATS by the first bytes of a file, CODE by what its pickle asks for, FAMILIES by the names of its tensors.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from sfumato.core.errors import CheckpointError

_HEAD, _TAIL = 1024, 1 << 16
"""Bytes at the beginning and at the end of a file that are looked at."""
_AGAIN = "download the file itself again"
_RESAVE = "load it where it was made and save its arrays, under the names of the PyTorch network, with safetensors.torch.save_file"
_UNPACK = "unpack it and import a file of weights from inside"
_STATE_DICT = "if you trust it, load it where it was made and save model.state_dict() with torch.save"

_SAFETENSORS = rb".{5}\x00{3}\{"
"""The length of the header in eight bytes, and the header, which is JSON."""
_MATLAB = rb"MATLAB 5\."
FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*(<!doctype|<html|<head|<body|<script)", "a web page", f"its address led to a licence, a login or a warning; {_AGAIN}"),
    (rb"\s*<\?xml", "XML text, such as a server's refusal", _AGAIN),
    (rb"\s*\{\s*[\"}]|\s*\[\s*[\"{\]]", "JSON text", "name the file of weights that belongs to it"),
    (
        rb"(\d{3}:? )?(not found|access denied|access to |entry not found|repository not found|unauthorized|forbidden)",
        "a server's refusal",
        _AGAIN,
    ),
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, the stand-in for a file that is kept elsewhere",
        "run git lfs pull in its repository, or download the file",
    ),
    (_MATLAB, "a MATLAB file", "if it holds a network of MatConvNet, import it"),
    (rb"MATLAB 7\.", "a MATLAB file of version 7.3, which is HDF5", "save it in MATLAB with -v7 and import that"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and MATLAB write them", _RESAVE),
    (rb".{4}TFL3", "a network of TensorFlow Lite", "import the PyTorch weights of the same network"),
    (rb"\x08\x01\x12", "a network of TensorFlow (SavedModel)", "import the PyTorch weights of the same network"),
    (rb"\x08[\x02-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", "a network in ONNX", "import the PyTorch weights that it was exported from"),
    (rb"GGUF", "a language model in GGUF", "there is no network here for it"),
    (rb"\x93NUMPY", "one NumPy array", "weights are tables of tensors by name: save them with safetensors.torch.save_file"),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!|.{257}ustar", "a compressed or packed archive", _UNPACK),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II\*\x00|MM\x00\*", "a picture", "name a file of weights"),
    (rb"%PDF", "a PDF document", "name a file of weights"),
)
"""How a file begins, what it is then, and what to do."""
_TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""How the index of a TensorFlow checkpoint ends."""
_TENSORFLOW = ("a checkpoint of TensorFlow", "import the PyTorch weights of the same network, or save its arrays as safetensors")
_ENDINGS = (
    (r"\.data-\d{5}-of-\d{5}$|\.ckpt(-\d+)?\.(index|meta)$|\.pb$", *_TENSORFLOW),
    (r"\.caffemodel$", "a network of Caffe", "import the PyTorch weights of the same network"),
    (r"\.mlmodel$", "a network of Core ML", "import the PyTorch weights of the same network"),
    (r"\.t7$", "a network of the Torch that was written in Lua", "import the PyTorch weights of the same network"),
)
"""How the names of files end that have no first bytes of their own."""
_UNKNOWN = ("a file of no known kind", "give a .safetensors, or what torch.save wrote (.pth, .pt, .pkl); if it should be one, get it again")
"""What begins neither as a file of weights does nor as another kind that is known."""
_ZIPS = (
    (rb"model\.weights\.h5", "a network of Keras", _RESAVE),
    (rb"\.npyPK|\.npy", "a NumPy archive", _RESAVE),
    (rb"", "a zip archive", _UNPACK),
)
"""What a zip is that torch did not write, by the names in it."""

CODE: tuple[tuple[str, str], ...] = (
    (r"dnnlib\.tflib\.", "it is a TensorFlow network; convert it first with legacy.py of stylegan2-ada-pytorch, which runs what is in it"),
    (
        r"(pytorch_lightning|lightning|lightning_fabric|lightning_utilities)\.",
        "it is a checkpoint of PyTorch Lightning with objects beside its weights; "
        "if you trust it, load it where it was made and save its ['state_dict'] alone with torch.save",
    ),
    (r"(__torch__|torch\.jit|torch\._C|torch\._jit_internal)\b", f"it is a network in TorchScript; {_STATE_DICT}"),
    (r"(tensorflow|keras|jax|jaxlib|flax|mxnet|paddle|theano|lasagne|chainer)\.", "it is no file of PyTorch's; import PyTorch weights"),
    (r"(sklearn|pandas|xgboost|joblib)\.", "it holds no network of images"),
    (r"torch\.nn\.modules\.", f"it is a whole model (torch.save(model)), which needs its code; {_STATE_DICT}"),
)
"""How the name begins that a pickle asks for, and what the file is then."""
_SAFE_TO_ADVISE = re.compile(r"(?P<package>[A-Za-z_]\w*)(\.[A-Za-z_]\w*)*\.[A-Z]\w*")
"""The name of a class; classes of Python itself are never named as ones to load."""
_PYTHON = sys.stdlib_module_names | {"__builtin__", "commands", "copy_reg", "exceptions", "popen2", "UserDict"}
"""The packages of Python itself, those of Python 2 included, which old pickles name."""

FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("BSRN (Li et al. 2022)", (r"B1\.c1_d\.(weight|bias|pw\..*)", r"B1\.c1_r\.pw\..*")),
    ("RCAN (Zhang et al. 2018)", (r"(body\.0\.body\.0\.body\.\d\.conv_du\.0|body\.0\.residual_group\.0\.rcab\.0)\.weight",)),
    ("EDSR (Lim et al. 2017)", (r"body\.0\.body\.0\.weight", r"tail\.0\.0\.weight")),
    ("EDSR or MSRResNet, in BasicSR's layout", (r"body\.0\.conv1\.weight", r"(conv_after_body|upconv1)\.weight")),
    ("HAT (Chen et al. 2023)", (r"layers\.0\.residual_group\.overlap_attn\..*",)),
    ("Swin2SR (Conde et al. 2022)", (r"layers\.0\.residual_group\.blocks\.0\.attn\.logit_scale",)),
    ("DAT (Chen et al. 2023)", (r"layers\.0\.blocks\.0\.attn\.attns\.0\.rpe_biases",)),
    ("a form of SwinIR with absolute positions", (r"absolute_pos_embed", r"layers\.0\.residual_group\.blocks\.0\.attn\..*")),
    ("Restormer for pairs of pictures of a dual-pixel camera", (r"encoder_level1\.0\.attn\.temperature", r"skip_conv\.weight")),
    ("CARN (Ahn et al. 2018), of which only the mobile form is known", (r"b1\.b2\.body\.0\.weight", r"b1\.c1\.body\.0\.weight")),
    ("SPAN (Wan et al. 2023)", (r"block_1\.c1_r\.eval_conv\.weight",)),
    ("PLKSR (Lee et al. 2024)", (r"feats\.1\.lk\.conv\.weight",)),
    ("OmniSR (Wang et al. 2023)", (r"residual_layer\.0\.residual_layer\.0\.layer\.0\.fn\.0\.weight",)),
    ("MPRNet (Zamir et al. 2021)", (r"stage1_encoder\..*",)),
    ("Uformer (Wang et al. 2022)", (r"encoderlayer_0\.blocks\.0\..*",)),
    ("FBCNN (Jiang et al. 2021)", (r"m_head\.weight", r"qf_pred\..*")),
    ("GFPGAN (Wang et al. 2021)", (r"stylegan_decoder\..*",)),
    ("a vector-quantised auto-encoder (VQGAN, CodeFormer)", (r"quantize\.embedding\.weight",)),
    ("Stable Diffusion", (r"model\.diffusion_model\..*",)),
    ("a diffusion network of diffusers", (r"down_blocks\.0\.resnets\.0\.conv1\.weight",)),
    ("a low-rank addition (LoRA) to another network", (r"lora_(unet|te)_.*|.*\.lora_(A|B|down|up)\..*",)),
    ("a diffusion network (Ho et al. 2020)", (r"down\.0\.block\.0\.norm1\.weight",)),
    ("a form of LaMa with local Fourier units or gates", (r"(generator\.)?(model\.)*\d+\.(conv\d\.)?ffc\.(convg2g\.lfu|gate)\..*",)),
    ("CycleGAN or pix2pix", (r"model\.(\d+\.conv_block\.1|model\.0|model\.1\.model\.1)\.weight",)),
    ("a U-Net for segmentation", (r"inc\.double_conv\.0\.weight",)),
    ("CLIP", (r"(visual|vision_model)\..*", r"(text_projection|text_model\..*|text_projection\.weight)")),
    ("Segment Anything", (r"image_encoder\..*", r"mask_decoder\..*")),
    ("a vision transformer", (r"patch_embed\.proj\.weight", r"blocks\.0\.attn\.qkv\.weight")),
    ("ResNet (He et al. 2016)", (r"layer1\.0\.conv1\.weight", r"layer4\.0\.conv1\.weight")),
    ("DenseNet (Huang et al. 2017)", (r"features\.denseblock1\..*",)),
    ("MobileNet or EfficientNet", (r"features\.0\.0\.weight", r"classifier\.\d\.weight")),
    ("VGG of another depth than 16", (r"features\.0\.weight", r"classifier\.6\.weight")),
    ("YOLO", (r"model\.0\.conv\.weight", r"model\.1\.conv\.weight")),
    ("the weights of LPIPS alone, which come with lpips-alex, lpips-vgg and lpips-squeeze", (r"lin0\.model\.1\.weight",)),
    ("a language model", (r"(model\.|bert\.)?(layers|encoder\.layer)\.0\.(self_attn|attention)\..*",)),
)
"""A family that no network here runs, and names of which it has some tensor each; the first that fits counts."""


def check(path: Path) -> None:
    """Raises CheckpointError, saying what the file at `path` is and what to do, if its content tells that it is no file of weights.

    A file that cannot be read passes: who reads it says why.
    """
    if description := named(path):
        raise CheckpointError(f"{path}: {description}")


def check_importable(path: Path) -> None:
    """Raises CheckpointError as `check` does, but passes MATLAB files, which may hold a network of MatConvNet."""
    if not is_matlab(path):
        check(path)


def named(path: Path) -> str:
    """What the file at `path` is, if it is one of FORMATS, and what to do; nothing if it may hold weights, or cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            end = file.seek(0, 2)
            file.seek(max(0, end - _TAIL))
            tail = file.read(_TAIL)
    except OSError:
        return ""
    if not head:
        return "is empty; download it again"
    if re.match(_SAFETENSORS, head, re.DOTALL) or head.startswith(b"\x80"):
        return ""
    if head.startswith(b"PK\x03\x04"):
        rows = () if b"data.pkl" in head or b"data.pkl" in tail else _ZIPS
        format_found = next(((kind, todo) for pattern, kind, todo in rows if re.search(pattern, head + tail)), None)
    elif tail.endswith(_TABLE_MAGIC):
        format_found = _TENSORFLOW
    else:
        fits = ((kind, todo) for pattern, kind, todo in FORMATS if re.match(pattern, head, re.DOTALL | re.IGNORECASE))
        ends = ((kind, todo) for pattern, kind, todo in _ENDINGS if re.search(pattern, path.name))
        format_found = next(fits, None) or next(ends, None) or _UNKNOWN
    return f"is {format_found[0]}, not weights that can be read; {format_found[1]}" if format_found else ""


def is_safetensors(path: Path) -> bool:
    """Whether the file at `path` begins as safetensors do, whatever it is called; False if it cannot be read."""
    return _begins(path, _SAFETENSORS)


def is_matlab(path: Path) -> bool:
    """Whether the file at `path` begins as MATLAB's of version 5 to 7 do, whatever it is called; False if it cannot be read."""
    return _begins(path, _MATLAB)


def _begins(path: Path, pattern: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return re.match(pattern, file.read(_HEAD), re.DOTALL) is not None
    except OSError:
        return False


def asked_for(title: str) -> str:
    """What a file is whose pickle asks for the dotted name `title`, and what to do; nothing if the name does not tell."""
    if description := next((words for pattern, words in CODE if re.match(pattern, title)), ""):
        return description
    fits = _SAFE_TO_ADVISE.fullmatch(title)
    if fits is None or fits["package"] in _PYTHON:
        return ""
    return f"if it is a whole model (torch.save(model)), that needs its code; {_STATE_DICT}"


def family(names: Iterable[str]) -> str:
    """The family of FAMILIES whose tensors have such `names`, or nothing."""
    listed = list(names)
    for name, patterns in FAMILIES:
        if all(any(re.fullmatch(pattern, title) for title in listed) for pattern in patterns):
            return name
    return ""
