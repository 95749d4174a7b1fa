"""Enhancement in front of any mmseg segmentor."""

from mmseg.models.data_preprocessor import SegDataPreProcessor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import MODELS


@MODELS.register_module()
class EnhancedSegDataPreProcessor(EnhancementMixin, SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` (its spelling) with an enhancer in front.

    Arguments as of :class:`EnhancementMixin`. mmseg's pipelines do not pad, so no colour is taken
    for fill unless you name one.
    """

    normalizes = True
