"""Several background scores of which the largest counts."""

import torch
from torch import Tensor


def max_out_background(scores: Tensor, classes: int = 1) -> Tensor:
    """Keep the class scores and the largest of the background scores.

    S3FD (Zhang et al., ICCV 2017, arXiv 1708.05237), section 3.3: most false positives
    come from the smallest anchors, which are by far the most. With several background
    scores, trained like one through the largest, they are called a face more rarely.

    Args:
        scores: ``(N, classes + K, H, W)``, before the softmax, of one anchor a
            location; the background's K scores come last, as mmdet has it (in the
            authors' files they come first).
        classes: number of classes without the background.

    Returns:
        ``(N, classes + 1, H, W)``.
    """
    background = scores[:, classes:].amax(dim=1, keepdim=True)
    return torch.cat([scores[:, :classes], background], dim=1)
