"""Enhancement in front of any mmseg segmentor."""

from mmseg.models.data_preprocessor import SegDataPreProcessor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import MODELS


@MODELS.register_module()
class EnhancedSegDataPreProcessor(EnhancementMixin, SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor`` (its spelling) with an enhancer in front.

    Args:
        enhancer: a config dict, or a name such as ``'sci/official/medium'``.
        frozen: see :meth:`EnhancementStep.setup_enhancement`; likewise
            ``norm_eval``, ``input_order``, ``fill_color``, ``input_max`` and
            ``check_values``. mmseg's pipelines do not pad, so no colour is taken for
            fill unless you name one.
        kwargs: all arguments of the host's class.

    Raises:
        ConfigError: if an argument is out of range.
    """

    normalizes = True
