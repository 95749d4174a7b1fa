"""From the maps of the face detector YuNet to boxes and scores."""

from collections.abc import Mapping

import torch
from torch import Tensor

#: Pixels between two neighbouring cells of each of its three maps.
YUNET_STRIDES = (8, 16, 32)


def decode_yunet(
    outputs: Mapping[str, Tensor], height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Boxes and scores of all cells of YuNet's maps.

    With ``(c, r)`` the column and row of a cell, ``s`` its map's stride and ``b`` its
    four numbers: centre ``(c + b0, r + b1) * s``, size ``exp(b2, b3) * s``, score
    ``sqrt(class * object)``, both probabilities limited to [0, 1].

    Args:
        outputs: ``cls_S``, ``obj_S`` ``(N, cells, 1)`` and ``bbox_S`` ``(N, cells, 4)``
            for each stride S of 8, 16 and 32, cells row by row.
        height: of the network's input, in pixels, a multiple of 32.
        width: likewise.

    Returns:
        Boxes ``(N, all cells, 4)`` as ``(x1, y1, x2, y2)`` in pixels of the input, not
        clipped, and scores ``(N, all cells)`` in [0, 1].

    Raises:
        ValueError: if a map has not as many cells as the size asks for.

    Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine
    Intelligence Research 2023, section 3; the numbers agree with OpenCV's
    ``FaceDetectorYN``.
    """
    boxes, scores = [], []
    for stride in YUNET_STRIDES:
        box = outputs[f'bbox_{stride}']
        rows, columns = height // stride, width // stride
        if box.shape[1] != rows * columns:
            raise ValueError(
                f'the map of stride {stride} must have {rows * columns} cells for an '
                f'input of {width}x{height}, got {box.shape[1]}'
            )
        center = (box[..., :2] + _cells(rows, columns).to(box)) * stride
        half = box[..., 2:].exp() * (stride / 2)
        boxes.append(torch.cat([center - half, center + half], dim=-1))
        cls, obj = (outputs[f'{name}_{stride}'][..., 0] for name in ('cls', 'obj'))
        scores.append((cls.clamp(0, 1) * obj.clamp(0, 1)).sqrt())
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


def _cells(rows: int, columns: int) -> Tensor:
    """``(column, row)`` of each cell, row by row: ``(rows * columns, 2)``."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    return torch.stack([column, row], dim=-1).reshape(-1, 2)
