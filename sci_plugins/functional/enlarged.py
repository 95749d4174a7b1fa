"""Taking back the bilinear enlargement of an image: its noise is that of its own pixels."""

from functools import lru_cache

import torch
from torch import Tensor

# Pixels that are solved for together, and more on each side, so that what lies beyond hardly counts
# (.04 steps of 8 bits where noise was enlarged 1.1 times).
_BLOCK, _MARGIN = 32, 8
# Keeps rounding small where a pixel is seen only together with its neighbour.
_RIDGE = 1e-4


def undo_enlargement(image: Tensor, size: tuple[int, int], steps: int = 0) -> Tensor:
    """Images ``(N, 3, h, w)`` that bilinear interpolation enlarged to ``image``, ``(N, 3, H, W)``.

    The least squares solution, for each axis, in [0, 1]; differentiable. Of noise of 8 bits that
    was rounded again after it was enlarged twice, nine in ten values come back; of 1.25 times,
    three in four, the others next to theirs.

    Args:
        image: float, in [0, 1].
        size: ``(h, w)``, at most the size of ``image``.
        steps: white of the integers that both were, such as 255; 0 if they were none.
    """
    pairs = zip(size, image.shape[2:], strict=True)
    rows, columns = (_parts(*pair, image.dtype, image.device) for pair in pairs)
    image = torch.cat([image[..., at : at + len(w)] @ w for at, w in columns], 3)
    parts = [w.mT @ image[..., at : at + len(w), :] for at, w in rows]
    result = torch.cat(parts, 2).clamp(0, 1)
    if steps:  # with the gradient of values that are not rounded
        result = (result.detach() * steps).round() / steps + (result - result.detach())
    return result


@lru_cache(maxsize=64)  # for a GPU, copied once for each size
@torch.inference_mode(False)  # which may have been on: training needs them too
def _parts(
    number: int, enlarged: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[int, Tensor]]:
    """Of each block: its place in the enlarged row, and weights ``(K, B)`` of the pixels there."""
    scale = enlarged / number
    at = ((torch.arange(enlarged).double() + 0.5) / scale - 0.5).clamp(0, number - 1)
    parts = []
    for first in range(0, number, _BLOCK):
        low, high = max(first - _MARGIN, 0), min(first + _BLOCK + _MARGIN, number)
        start, stop = int(low * scale), min(int(high * scale) + 1, enlarged)
        rows = (1 - (at[start:stop, None] - torch.arange(low, high)).abs()).clamp_min(0)
        gram = rows.mT @ rows + _RIDGE * torch.eye(high - low).double()
        weights = torch.linalg.solve(gram, rows.mT)[first - low :][:_BLOCK]
        weights = (weights / weights.sum(1, keepdim=True)).mT
        parts.append((start, weights.to(dtype).to(device)))
    return parts
