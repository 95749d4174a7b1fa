"""A GPU that is not there: tensors without values say that they are on it, and refuse to wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class WaitedError(AssertionError):
    """A copy between host and GPU, for which a program stands still."""


class _NoCopies(TorchDispatchMode):
    """Reading values (``item``, ``bool``, ``nonzero``, ``equal``) already fails without any."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        name = func.name().partition('.')[0]
        copies = name in ('aten::_to_copy', 'aten::copy_', 'aten::index', 'aten::index_put_')
        if copies and len({each.device.type for each in (*given, result)}) > 1:
            raise WaitedError(f'{func} from {[str(each.device) for each in given]}')
        return result


@contextmanager
def no_waiting(mode: FakeTensorMode) -> Iterator[None]:
    """Fails where anything waits for the GPU."""
    with mode, _NoCopies():
        yield


def to_gpu(value: Any, mode: FakeTensorMode) -> Any:
    """A tensor, or a module in place, there."""
    if isinstance(value, nn.Module):
        for module in value.modules():
            for name, each in module._parameters.items():
                if each is not None:
                    moved = nn.Parameter(to_gpu(each.data, mode), each.requires_grad)
                    module._parameters[name] = moved
            for name, each in module._buffers.items():
                module._buffers[name] = None if each is None else to_gpu(each, mode)
        return value
    with mode:
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device='cuda')
