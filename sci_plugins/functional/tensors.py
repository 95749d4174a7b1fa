"""What PyTorch is doing with a call, and small tools that wait for no GPU."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def is_recorded() -> bool:
    """Whether what is done now has to hold for other images: tracing, compiling, export."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def is_exporting() -> bool:
    """Whether ``torch.export`` makes a graph, for images of any size."""
    return bool(getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)())  # torch 2.7


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """``values`` as ``like.new_tensor`` makes them, but on a GPU, which no copy keeps waiting."""
    return torch.stack([like.new_full((), value) for value in values])


def leaves(value: Any) -> Iterator[Any]:
    """What nested mappings, lists and tuples hold, in order."""
    if isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(each)
    else:
        yield value


def flat_tensors(output: Any) -> Iterator[Tensor]:
    """All tensors of nested lists, tuples and mappings, in order."""
    return (each for each in leaves(output) if isinstance(each, Tensor))


def quantiles(values: Tensor, *shares: float) -> Tensor:
    """Quantiles ``(Q, N)`` of ``(N, K)``, without gradient; NaN in a row makes all of its NaN."""
    if not values.is_cpu or is_recorded():
        return torch.quantile(values, constant(shares, values), dim=1)
    rows = torch.from_numpy(np.sort(values.numpy(), axis=1))  # ten times as fast; NaN is last
    places = [share * (rows.shape[1] - 1) for share in shares]
    found = [rows[:, int(p)].lerp(rows[:, math.ceil(p)], p % 1) for p in places]
    return torch.stack(found) + 0 * rows[:, -1]
