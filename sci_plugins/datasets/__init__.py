"""Data sets for mmdet and mmseg; each is imported when a config asks for it."""

from sci_plugins.datasets.low_light_folder import LowLightFolder

__all__ = ['LowLightFolder']
