"""RoIAlign with mmcv's calling convention: results go into given tensors."""

import torch
from torch import Tensor

from sci_plugins.compat.missing import MissingOpError
from sci_plugins.compat.precision import as_computed

MAX_POOLING = 0


def _check_pooling(pool_mode: int) -> None:
    if pool_mode == MAX_POOLING:
        raise MissingOpError("roi_align with pool_mode='max'", ["pool_mode='avg'"])


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples of ``features`` in the cells of each region.

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image index, x1, y1, x2, y2 in pixels of the image.
        output: ``(R, C, aligned_height, aligned_width)``, overwritten.
        argmax_y: Used by maximum pooling only.
        argmax_x: Used by maximum pooling only.
        aligned_height: Cells per region, vertically.
        aligned_width: Cells per region, horizontally.
        spatial_scale: Size of the features over size of the image.
        sampling_ratio: Samples per cell and direction; 0 for one per feature pixel.
        pool_mode: 1 averages the samples.
        aligned: Whether pixel centres lie at half coordinates.

    Raises:
        MissingOpError: for maximum pooling (``pool_mode`` 0).
    """
    _check_pooling(pool_mode)
    pooled = torch.ops.torchvision.roi_align(
        *as_computed(features, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of the features to ``grad_input``, ``(N, C, H, W)``.

    The other arguments are those of :func:`roi_align_forward`.

    Raises:
        MissingOpError: for maximum pooling (``pool_mode`` 0).
    """
    _check_pooling(pool_mode)
    gradient = torch.ops.torchvision._roi_align_backward(
        *as_computed(grad_output, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.add_(gradient)
