"""Test-time merging of a segmentor's predictions for the raw and the enhanced image."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.structures import PixelData
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.losses import at_least_float32
from sci_plugins.models.test_time.two_looks import TwoLooks
from sci_plugins.registry import MODELS


def merge_logits(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """Logits of the weighted mean of two predictions' class probabilities.

    ``log((1 - weight) softmax(first) + weight softmax(second))``, computed in the log domain so
    that improbable classes do not underflow.

    Args:
        first: ``(C, ...)`` logits, classes first.
        second: same shape.
        weight: of ``second``, in [0, 1].

    Returns:
        ``(C, ...)``, at least float32: log probabilities, which are logits too. With a weight of 0
        or 1, the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    _check(weight, first, second)
    if weight in (0, 1):
        return second if weight else first
    parts = [
        at_least_float32(logits).log_softmax(dim=0) + math.log(share)
        for logits, share in ((first, 1 - weight), (second, weight))
    ]
    return parts[0].logaddexp(parts[1])


def merge_probabilities(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """``(1 - weight) first + weight second``, for a single-channel head after its sigmoid.

    Args:
        first, second: probabilities in [0, 1], same shape.
        weight: of ``second``, in [0, 1].

    Returns:
        Same shape, at least float32; with a weight of 0 or 1, the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    _check(weight, first, second)
    if weight in (0, 1):
        return second if weight else first
    return (1 - weight) * at_least_float32(first) + weight * at_least_float32(second)


def _check(weight: float, *predictions: Tensor) -> None:
    if not 0 <= weight <= 1:
        raise ConfigError(f'weight must be in [0, 1], got {weight}')
    shapes = [tuple(each.shape) for each in predictions]
    if len(set(shapes)) > 1:
        raise DataError(
            f'predictions must have the same shape, got {" and ".join(map(str, shapes))}'
        )


@MODELS.register_module()
class RawEnhancedMerge(TwoLooks):
    """Averages a segmentor's class probabilities for the raw and the enhanced image.

    For tests only, at twice the cost. The host infers both versions of the image in full: whole or
    sliding, padding removed, flipped back, resized to the original. The result is the class with
    the largest ``(1 - weight) softmax(raw) + weight softmax(enhanced)``. A single-channel head is
    merged after its sigmoid and compared with its own threshold. A weight of 0 gives exactly the
    raw prediction, 1 exactly the enhanced one, each at the cost of one inference. Heads whose
    scores are not logits (Mask2Former) are merged as if they were.

    A config takes the host's model, enhancer included, unchanged::

        model = dict(_delete_=True, type='sci_plugins.RawEnhancedMerge', segmentor=_base_.model)

    Checkpoints of the plain or the enhanced segmentor load unchanged.

    Args:
        segmentor: an mmseg segmentor with an ``EnhancedSegDataPreProcessor``, or its config.
        weight: of the enhanced image, in [0, 1].
        data_preprocessor: used if the segmentor's config has none; MMEngine's Runner passes the one
            at the top level of a config.
        init_cfg: as in MMEngine.

    Raises:
        ConfigError: if the weight is out of range or there is no enhancer.
    """

    slot = 'segmentor'

    def __init__(
        self,
        segmentor: nn.Module | Mapping[str, Any],
        weight: float = 0.5,
        data_preprocessor: Any = None,
        init_cfg: dict | None = None,
    ) -> None:
        _check(weight)
        super().__init__(segmentor, data_preprocessor, init_cfg)
        self.weight = weight

    def test_step(self, data: Any) -> list:
        """Predictions for a batch, as data samples of the host.

        Args:
            data: what the data loader gives.

        Returns:
            The host's data samples: ``pred_sem_seg`` with the merged classes, ``seg_logits`` with
            the merged log probabilities (probabilities for a single-channel head).

        Raises:
            ConfigError: if the model returns no logits.
        """
        if self.weight in (0, 1):
            return self._look(data, enhanced=self.weight == 1)
        raw = [_logits(sample) for sample in self._look(data, enhanced=False)]
        samples = self._look(data, enhanced=True)
        for logits, sample in zip(raw, samples, strict=True):
            self._merge_into(sample, logits)
        return samples

    def _look(self, data: Any, enhanced: bool) -> list:
        return self._predict(self._prepare(data, enhanced))

    def _merge_into(self, sample: Any, raw: Tensor) -> None:
        enhanced = _logits(sample)
        if len(raw) > 1:
            merged = merge_logits(raw, enhanced, self.weight)
            classes = merged.argmax(dim=0, keepdim=True)
        else:
            merged = merge_probabilities(raw, enhanced, self.weight)
            classes = (merged > self._host.decode_head.threshold).to(merged)
        sample.set_data(
            dict(seg_logits=PixelData(data=merged), pred_sem_seg=PixelData(data=classes))
        )


def _logits(sample: Any) -> Tensor:
    if 'seg_logits' not in sample:
        raise ConfigError(
            'RawEnhancedMerge needs a segmentor that returns seg_logits, got '
            f'{", ".join(sample.keys()) or "nothing"}'
        )
    logits: Tensor = sample.seg_logits.data
    return logits
