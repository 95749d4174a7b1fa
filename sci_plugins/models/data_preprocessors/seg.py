"""Enhancement in front of any mmseg segmentor."""

from mmengine.model import ImgDataPreprocessor
from mmseg.models.data_preprocessor import SegDataPreProcessor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import MODELS


@MODELS.register_module()
class EnhancedSegDataPreProcessor(EnhancementMixin, SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` (its spelling) with an enhancer in front.

    Arguments and errors as of :class:`EnhancementMixin`. mmseg's pipelines do not pad, so no colour
    is taken for fill unless you name one.
    """

    # mmsegmentation 1.2 spells it itself.
    _is_of_mmengine = issubclass(SegDataPreProcessor, ImgDataPreprocessor)
    normalizes = '_channel_conversion' if _is_of_mmengine else 'channel_conversion'
