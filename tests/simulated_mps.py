"""Apple's GPU, simulated on any machine: tensors that are moved there compute on the CPU, under the GPU's restrictions.

As on the real one, whatever would make a float64 tensor there raises, and so do NumPy's look at a tensor that was not
brought back, an operation on tensors of both places, and a CPU generator that fills a tensor there. Which operations
Metal lacks is not simulated, nor are its rounding and its speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

MPS, CPU = torch.device("mps"), torch.device("cpu")
NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
BOTH_PLACES = ("copy_", "_to_copy", "index", "index_put_")  # the indices of a tensor on the GPU may lie on the CPU
MOVES = {"to": None, "cpu": CPU}


class _Places:
    """Which tensors are on the simulated GPU, by their storage."""

    def __init__(self) -> None:
        self.there: dict[int, StorageWeakRef] = {}
        self.working = False
        """Whether a call on a tensor there goes on: what it makes out of nothing (one_hot its zeros) is there, too."""

    def has(self, tensor: Tensor) -> bool:
        """Whether the tensor is there."""
        with torch._C.DisableTorchFunction():
            reference = self.there.get(tensor.untyped_storage()._cdata)
        return reference is not None and not reference.expired()

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor, which from now on is there; TypeError if it could not be."""
        if tensor.dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        with torch._C.DisableTorchFunction():
            storage = tensor.untyped_storage()
        self.there[storage._cdata] = StorageWeakRef(storage)
        return tensor

    def take(self, tensor: Tensor) -> Tensor:
        """The tensor, which from now on is on the CPU."""
        with torch._C.DisableTorchFunction():
            self.there.pop(tensor.untyped_storage()._cdata, None)
        return tensor


class _Results(TorchDispatchMode):
    """What is computed from tensors on the GPU is on the GPU, backward passes and optimizers included."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        there = [self.places.has(one) for one in given]
        name = func.overloadpacket.__name__
        here = any(not on and tensor.dim() for on, tensor in zip(there, given, strict=True))  # scalars may be anywhere
        if any(there) and here and name not in BOTH_PLACES:
            raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but found mps and cpu")
        found = func(*args, **kwargs)
        if (there and there[0]) or (any(there) and name not in BOTH_PLACES) or (self.places.working and not there):
            for one in _tensors(found):
                self.places.put(one)
        return found


def _tensors(given: Any) -> Iterator[Tensor]:
    """The tensors in nested arguments."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from _tensors(list(given.values()))
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _tensors(one)


class _Calls(TorchFunctionMode):
    """What code says of devices: where tensors are made and moved, and what they answer when asked."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        tensor = args[0] if args and isinstance(args[0], Tensor) else None
        if tensor is not None and func == Tensor.device.__get__:
            return MPS if self.places.has(tensor) else func(*args, **kwargs)
        if tensor is not None and name in ("numpy", "__array__") and self.places.has(tensor):
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first")
        if tensor is not None and name in MOVES:
            return self._moved(func, name, tensor, list(args), kwargs)
        to = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        there = to == MPS or (to is None and tensor is not None and self.places.has(tensor))
        if there and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'mps' device type for generator but found 'cpu'")
        if to != MPS:
            before, self.places.working = self.places.working, there
            try:
                return func(*args, **kwargs)
            finally:
                self.places.working = before
        found = func(*args, **(kwargs | {"device": CPU}))
        return self.places.put(found)

    def _moved(self, func: Callable[..., Tensor], name: str, tensor: Tensor, args: list[Any], kwargs: Any) -> Tensor:
        """What `to` and `cpu` return."""
        to = MOVES[name]
        for place, one in enumerate(args[1:], start=1):
            if isinstance(one, str | torch.device):
                to, args[place] = torch.device(one), CPU
            elif isinstance(one, Tensor):
                to = MPS if self.places.has(one) else CPU
        if kwargs.get("device") is not None:
            to, kwargs["device"] = torch.device(kwargs["device"]), CPU
        if to is None or (to == MPS) == self.places.has(tensor):
            return func(*args, **kwargs)
        found = func(*args, **kwargs) if name == "to" else tensor
        if found is tensor or found.data_ptr() == tensor.data_ptr():
            with _nowhere(self.places, tensor):
                found = tensor.clone()
        return self.places.put(found) if to == MPS else self.places.take(found)


@contextmanager
def _nowhere(places: _Places, tensor: Tensor) -> Iterator[None]:
    """Inside the block the tensor is on the CPU, so that a copy of it is."""
    was_there = places.has(tensor)
    places.take(tensor)
    try:
        yield
    finally:
        if was_there:
            places.put(tensor)


@contextmanager
def simulated_mps() -> Iterator[Callable[[Tensor], bool]]:
    """Inside the block there is a device `mps`; yields the function that says whether a tensor is on it."""
    places = _Places()
    with _Results(places), _Calls(places):
        yield places.has
