"""Data sets for mmdet and mmseg; each is imported when a config asks for it."""

from sci_plugins.datasets.low_light_folder import ImageSample, LowLightFolder, stack_images
from sci_plugins.datasets.paired_low_light import PairedLowLightDataset
from sci_plugins.datasets.samplers import SeededInfiniteSampler, SeededSampler

__all__ = [
    'ImageSample',
    'LowLightFolder',
    'PairedLowLightDataset',
    'SeededInfiniteSampler',
    'SeededSampler',
    'stack_images',
]
