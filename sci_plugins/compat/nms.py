"""Non-maximum suppression with mmcv's meaning of ``offset``."""

import torch
from torch import Tensor

from sci_plugins.compat.precision import as_computed


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better box overlaps too much.

    Args:
        boxes: ``(N, 4)``, x1, y1, x2, y2 in pixels.
        scores: ``(N,)``.
        iou_threshold: Boxes whose IoU with a kept one is above it are dropped; a box
            exactly at the threshold stays.
        offset: 0, or 1 where ``x2`` and ``y2`` are the last pixels inside the box: its
            width is ``x2 - x1 + offset``.

    Returns:
        int64 indices by descending score; of equal scores the first comes first.
    """
    if offset:
        # Widths with +1 are the widths of boxes whose far corner is moved by 1. In
        # float64, because batched_nms moves boxes to coordinates where float32 has no
        # room left for the 1.
        boxes = boxes.double() + boxes.new_tensor([0, 0, offset, offset])
    boxes, scores = as_computed(boxes, scores)
    if boxes.dtype == torch.float32:
        # mmcv compares with a float32 threshold: an IoU of 3/5 is not above .6 there,
        # but rounded to float32 it is above .6 in float64.
        iou_threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)
