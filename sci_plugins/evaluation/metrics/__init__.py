"""Metrics for MMEngine's evaluator."""

from sci_plugins.evaluation.metrics.darkface import DarkFaceMetric
from sci_plugins.evaluation.metrics.image_quality import (
    EME,
    LOE,
    NIQE,
    PSNR,
    SSIM,
    Brightness,
    DiscreteEntropy,
    ImageQualityMetric,
)  # fmt: skip
from sci_plugins.evaluation.metrics.no_metric import NoMetric
from sci_plugins.evaluation.metrics.subset_iou import SubsetIoUMetric

__all__ = [
    'Brightness', 'DarkFaceMetric', 'DiscreteEntropy', 'EME', 'ImageQualityMetric', 'LOE', 'NIQE',
    'NoMetric', 'PSNR', 'SSIM', 'SubsetIoUMetric',
]  # fmt: skip
