"""Enhancement in front of any mmdet detector."""

from mmdet.models.data_preprocessors import DetDataPreprocessor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import HOSTS, MODELS


@MODELS.register_module()
class EnhancedDetDataPreprocessor(EnhancementMixin, DetDataPreprocessor):
    """mmdet's ``DetDataPreprocessor`` with an enhancer in front.

    Arguments as of :class:`EnhancementMixin`. ``fill_color`` is the colour that the pipeline pads
    with and that stays as it is. Areas of it at the bottom and right edge are not part of the
    image; in training, areas of it inside the image (mosaic) stay as well, unless the pipeline
    changes colours after it filled them (``YOLOXHSVRandomAug``): those are enhanced like picture.

    Raises:
        ConfigError: if an argument is out of range.
    """

    normalizes = '_channel_conversion'
    default_fill_color = HOSTS['mmdet'].fill_color
