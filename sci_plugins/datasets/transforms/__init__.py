"""Transforms of the data pipeline, registered on import."""

from sci_plugins.datasets.transforms.check_label_map import CheckLabelMap
from sci_plugins.datasets.transforms.enhance_image import EnhanceImage, RawAndEnhanced, ReplaceImage
from sci_plugins.datasets.transforms.low_light import SynthesizeLowLight

__all__ = ['CheckLabelMap', 'EnhanceImage', 'RawAndEnhanced', 'ReplaceImage', 'SynthesizeLowLight']
