"""Losses as modules, registered for configs."""

from sci_plugins.models.losses.exposure import ExposureLoss
from sci_plugins.models.losses.sci import SCILoss

__all__ = ['ExposureLoss', 'SCILoss']
