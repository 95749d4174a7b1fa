"""Losses as modules, registered for configs."""

from sci_plugins.models.losses.exposure import ExposureLoss
from sci_plugins.models.losses.sci import FidelityLoss, SCILoss, SmoothnessLoss

__all__ = ['ExposureLoss', 'FidelityLoss', 'SCILoss', 'SmoothnessLoss']
