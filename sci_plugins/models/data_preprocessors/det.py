"""Enhancement in front of any mmdet detector."""

from mmdet.models.data_preprocessors import DetDataPreprocessor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import HOSTS, MODELS


@MODELS.register_module()
class EnhancedDetDataPreprocessor(EnhancementMixin, DetDataPreprocessor):
    """mmdet's ``DetDataPreprocessor`` with an enhancer in front.

    Arguments and errors as of :class:`EnhancementMixin`. ``fill_color`` is the colour that the
    pipeline pads with. Areas of it inside the image (mosaic) stay in training unless the pipeline
    changes colours after it filled them (``YOLOXHSVRandomAug``): those are enhanced like picture.
    """

    normalizes = '_channel_conversion'
    default_fill_color = HOSTS['mmdet'].fill_color
