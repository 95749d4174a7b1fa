"""Of the raw and the enhanced image, the one that the network is surer of."""

from typing import Any

import torch
from torch import Tensor

from sci_plugins.errors import ConfigError
from sci_plugins.functional.losses import at_least_float32
from sci_plugins.models.test_time.two_looks import TwoLooks
from sci_plugins.registry import MODELS

#: Predictions that make a detector's confidence: the best ones count.
TOP = 20


def segmentation_confidence(logits: Tensor) -> float:
    """Mean over pixels of the likeliest class's probability, in [0, 1].

    ``logits`` are ``(C, H, W)``; of a single-channel head, as mmseg gives it, the probability after
    the sigmoid.
    """
    logits = at_least_float32(logits)
    if len(logits) > 1:
        return float(logits.softmax(0).amax(0).mean())
    return float(torch.maximum(logits, 1 - logits).mean())


def detection_confidence(scores: Tensor) -> float:
    """Sum of the best 20 scores: how many objects there are, weighted by how sure each is; 0 to 20.

    ``scores`` are those of one image, after non-maximum suppression, ``(N,)``, in [0, 1].
    """
    return float(at_least_float32(scores).topk(min(TOP, len(scores))).values.sum())


@MODELS.register_module()
class RawEnhancedSelect(TwoLooks):
    """Keeps, for each image, the prediction that the network is surer of: raw or enhanced.

    For tests only, see :class:`TwoLooks`. On a tie the raw image stays. Each sample that
    :meth:`test_step` gives has ``selected``, ``'raw'`` or ``'enhanced'``, as metainfo.

    It helps where image statistics cannot tell what the network knows (a segmentor trained at
    dusk), and fails where the network is confidently wrong.

    A config takes the host's model, enhancer included, unchanged::

        model = dict(_delete_=True, type='sci_plugins.RawEnhancedSelect', host=_base_.model)

    Args:
        host: an mmseg segmentor or mmdet detector with an enhancing data preprocessor, or its
            config.
        data_preprocessor, init_cfg: see :class:`TwoLooks`.

    Raises:
        ConfigError: if there is no enhancer.

    Source: the mean maximum probability as confidence is Hendrycks and Gimpel, "A Baseline for
    Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017.
    """

    def _combine(self, raw: Any, enhanced: Any) -> Any:
        takes = _confidence(enhanced) > _confidence(raw)
        chosen = enhanced if takes else raw
        chosen.set_metainfo(dict(selected='enhanced' if takes else 'raw'))
        return chosen

    def _keep(self, raw: Any) -> Any:
        raw.set_metainfo(dict(selected='raw'))
        return raw


def _confidence(sample: Any) -> float:
    if 'seg_logits' in sample:
        return segmentation_confidence(sample.seg_logits.data)
    if 'pred_instances' in sample and 'scores' in sample.pred_instances:
        return detection_confidence(sample.pred_instances.scores)
    raise ConfigError(
        'RawEnhancedSelect needs a model that returns seg_logits or scores, got '
        f'{", ".join(sample.keys()) or "nothing"}'
    )
