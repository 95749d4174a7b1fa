"""SCI's training loss as in the authors' code, as a reference for results and time.

Layer by layer in NCHW memory, with all calibrator calls, and 24 smoothness terms that compute each
pair of neighbours twice. Source: `Network` and `LossFunction` of github.com/vis-opt-group/SCI.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.functional.losses import FIDELITY_WEIGHT
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.models.learners import SelfCalibratedLearner, SelfCalibrator

_NEIGHBOURS = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))
_COLORS = [[0.257, -0.148, 0.439], [0.564, -0.291, -0.368], [0.098, 0.439, -0.071]]
_COLOR_OFFSETS = [16 / 255, 128 / 255, 128 / 255]


def plain_loss(learner: SelfCalibratedLearner, image: Tensor) -> Tensor:
    """Total loss of the authors' network with the learner's layers.

    Args:
        learner: provides the layers; its forward is not called.
        image: ``(N, 3, H, W)``, RGB in [0, 1].

    Returns:
        A scalar.
    """
    total = image.new_zeros(())
    stage_input = image
    for _ in range(learner.stages):
        illumination = _estimate(learner.estimator, stage_input)  # type: ignore[arg-type]
        enhanced = torch.clamp(image / illumination, 0, 1)
        calibration = _calibrate(learner.calibrator, enhanced)  # type: ignore[arg-type]
        fidelity = F.mse_loss(illumination, stage_input)
        total = total + FIDELITY_WEIGHT * fidelity
        total = total + plain_smoothness(illumination, stage_input)
        stage_input = image + calibration
    return total


def plain_smoothness(illumination: Tensor, image: Tensor, sigma: float = 10) -> Tensor:
    """The 24 terms one by one, each with ``torch.norm(p=1, dim=1)``."""
    matrix = image.new_tensor(_COLORS)
    flat = image.contiguous().view(-1, 3).mm(matrix) + image.new_tensor(_COLOR_OFFSETS)
    colors = flat.view(image.shape)
    total = image.new_zeros(())
    for offset in _NEIGHBOURS:
        contrast = _difference(colors, *offset)
        squares = torch.sum(torch.pow(contrast, 2), dim=1, keepdim=True)
        weight = torch.exp(squares * (-1 / (2 * sigma * sigma)))
        step = torch.norm(_difference(illumination, *offset), p=1, dim=1, keepdim=True)
        total = total + torch.mean(weight * step)
    return total


def _difference(image: Tensor, dy: int, dx: int) -> Tensor:
    """Each pixel that has the neighbour, minus that neighbour."""
    return _shift(image, -dy, -dx) - _shift(image, dy, dx)


def _shift(image: Tensor, dy: int, dx: int) -> Tensor:
    height, width = image.shape[-2:]
    rows = slice(max(dy, 0), height + min(dy, 0))
    return image[:, :, rows, max(dx, 0) : width + min(dx, 0)]


def _estimate(estimator: SCIEnhancer, image: Tensor) -> Tensor:
    features = F.relu(estimator.in_conv(image))
    for _ in range(estimator.layers):
        block = F.relu(estimator.block_norm(estimator.block_conv(features)))
        features = features + block
    illumination = torch.sigmoid(estimator.out_conv(features)) + image
    return torch.clamp(illumination, 0.0001, 1)


def _calibrate(calibrator: SelfCalibrator, enhanced: Tensor) -> Tensor:
    def layer(conv: nn.Module, norm: nn.Module, image: Tensor) -> Tensor:
        return F.relu(norm(conv(image)))

    features = layer(calibrator.in_conv, calibrator.in_norm, enhanced)
    for _ in range(calibrator.layers):
        inner = layer(calibrator.block_conv1, calibrator.block_norm1, features)
        inner = layer(calibrator.block_conv2, calibrator.block_norm2, inner)
        features = features + inner
    return enhanced - torch.sigmoid(calibrator.out_conv(features))
