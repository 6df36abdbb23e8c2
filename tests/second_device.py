"""A second device on a machine that has none: its tensors lie on the processor, and meet those of the processor with an error.

    with second_device():
        torch.ones(3, device="mps") + torch.ones(3)     # RuntimeError: ... on the same device ...

A graphics card refuses operations on tensors of which some lie elsewhere, and nobody without one sees it. Here a tensor of the device "mps"
wraps one of the processor. For PyTorch's C++ it is one of the device "meta", which exists everywhere; Python code sees "mps".
"""

import contextlib

import pytest
import torch
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

THERE = torch.device("mps", 0)
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten._to_copy.default}
"""Operations between devices."""
INDEXED = {aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operations whose result is on the device of the first tensor; indices may lie on the processor."""


class Elsewhere(torch.Tensor):
    """A tensor of the second device, which holds its numbers in `inner`."""

    device = property(lambda self: THERE)
    is_cpu = is_meta = is_cuda = property(lambda self: False)
    is_mps = property(lambda self: True)

    @staticmethod
    def __new__(cls, inner):
        facts = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype, "layout": inner.layout}
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), device="meta", requires_grad=False, **facts)

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Elsewhere({self.inner})"

    def numpy(self, **_):
        raise TypeError("can't convert mps:0 device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy

    def tolist(self):
        return self.inner.tolist()

    def cpu(self, **_):
        return self.to("cpu")

    def new_tensor(self, data, *, dtype=None):
        return torch.tensor(data, dtype=dtype or self.dtype, device=THERE)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def is_there(value):
    return isinstance(value, Elsewhere)


def inside(value):
    return value.inner if is_there(value) else value


def computed(func, args, kwargs):
    """The result of an operation of tensors of which some, or the result, belong to the second device."""
    if func is torch.ops.prim.device.default:
        return THERE
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far, near = [t for t in tensors if is_there(t)], [t for t in tensors if not is_there(t) and t.dim()]
    asked = kwargs.get("device")
    if asked is not None:
        # The program asks for "meta" for outlines of networks; PyTorch's C++, in formulas of gradients, where it means this device.
        if torch.device(asked).type == "meta" and not far and torch._C._current_graph_task_id() == -1:
            return func(*args, **kwargs)
        kwargs = kwargs | {"device": torch.device("cpu")}
    if far and near and func not in COPIES | INDEXED:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found mps:0 and cpu ({func})")
    if func in INDEXED and far and not is_there(args[0]):
        raise RuntimeError(f"indices should be on the processor or on the device of the indexed tensor ({func})")
    goes = is_there(args[0]) if func in INDEXED else bool(far) if asked is None else torch.device(asked).type in ("mps", "meta")
    result = func(*tree_map(inside, args), **tree_map(inside, kwargs))
    known = {id(inside(t)): t for t in tensors}  # what an operation changed in place is still the tensor that it was given
    return tree_map(lambda value: _outside(value, known, goes), result)


def _outside(value, known, goes):
    if not isinstance(value, torch.Tensor):
        return value
    return known.get(id(value)) if id(value) in known else Elsewhere(value) if goes else value


class _Operations(TorchDispatchMode):
    """New tensors of the second device, and operations on parameters."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


class _Moved(torch.autograd.Function):
    """A copy on the other device; its gradient goes back."""

    @staticmethod
    def forward(ctx, x, far):
        ctx.came_from_there = is_there(x)
        return _copied(x, far)

    @staticmethod
    def backward(ctx, gradient):
        return _copied(gradient, ctx.came_from_there), None


def _copied(x, far):
    numbers = inside(x.detach()).clone()
    return Elsewhere(numbers) if far else numbers


def _names_it(device):
    return device is not None and torch.device(device).type == "mps"


def _to(x, device, dtype, layout, *, copy=False):
    """`Tensor.to`."""
    if device is not None and _names_it(device) != is_there(x):
        moves = x.requires_grad and torch.is_grad_enabled() and not isinstance(x, torch.nn.Parameter)
        x = _Moved.apply(x, _names_it(device)) if moves else _copied(x, _names_it(device))
    options = {"dtype": dtype} if dtype is not None and dtype != x.dtype else {}
    if layout is not None and x.dim() == 4:
        options["memory_format"] = layout
    if copy and not options:
        return x.clone()
    return x.to(**options) if options else x


def _like_to(real):
    """`Tensor.to` with the second device: PyTorch's C++ would look for the real one."""

    def to(self, *args, **kwargs):
        values = [*args, *kwargs.values()]
        model = next((value for value in values if isinstance(value, torch.Tensor)), None)
        device = next((torch.device(value) for value in values if isinstance(value, str | torch.device)), None)
        dtype = next((value for value in values if isinstance(value, torch.dtype)), None)
        layout = next((value for value in values if isinstance(value, torch.memory_format)), None)
        if model is not None:
            device, dtype = model.device, model.dtype
        if not is_there(self) and not _names_it(device):
            return real(self, *args, **kwargs)
        if device is not None and _names_it(device) != is_there(self):
            moves = self.requires_grad and torch.is_grad_enabled() and not isinstance(self, torch.nn.Parameter)
            self = _Moved.apply(self, _names_it(device)) if moves else _copied(self, _names_it(device))
        options = {"dtype": dtype} if dtype is not None else {}
        options |= {"memory_format": layout} if layout is not None and self.dim() == 4 else {}
        options |= {"copy": True} if kwargs.get("copy") else {}
        return real(self, **options) if options else self

    return to


def _like_tensor(real):
    """`torch.tensor` and `torch.as_tensor` with the second device."""

    def tensor(data, *args, device=None, **kwargs):
        if is_there(data) and device is None:
            return data
        made = real(inside(data), *args, **kwargs) if _names_it(device) else real(data, *args, device=device, **kwargs)
        return Elsewhere(made) if _names_it(device) else made

    return tensor


@contextlib.contextmanager
def second_device():
    """Inside, `torch.device("mps")` is such a device."""
    _device_constructors()  # it remembers the functions below as they are now
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with pytest.MonkeyPatch.context() as patch, _Operations():
            patch.setattr(torch.Tensor, "to", _like_to(torch.Tensor.to))
            patch.setattr(torch, "tensor", _like_tensor(torch.tensor))
            patch.setattr(torch, "as_tensor", _like_tensor(torch.as_tensor))
            yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
