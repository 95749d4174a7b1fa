"""The number types in which torchvision's kernels compute."""

import torch
from torch import Tensor


def as_computed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring ``tensors`` to one type: float64 if one of them has it, else float32.

    torchvision's kernels take one floating type for all arguments, and on the CPU no
    half type everywhere; its own autocast rules compute in float32 as well.
    """
    has_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if has_double else torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)
