"""Losses as modules, registered for configs."""

from sci_plugins.models.losses.sci import ExposureLoss, FidelityLoss, SCILoss, SmoothnessLoss

__all__ = ['ExposureLoss', 'FidelityLoss', 'SCILoss', 'SmoothnessLoss']
