"""Test-time merging of a network's predictions for the raw and the enhanced image."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn
from torchvision.ops import batched_nms

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

    Arguments, errors and shape as in :func:`merge_logits`, but of probabilities in [0, 1].
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


#: Of non-maximum suppression, for hosts that have none of their own.
IOU_THRESHOLD = 0.5


def merge_detections(
    first: InstanceData,
    second: InstanceData,
    weight: float = 0.5,
    iou_threshold: float = IOU_THRESHOLD,
    most: int | None = None,
) -> InstanceData:
    """The union of two predictions of an image, without what both have found.

    Non-maximum suppression, class by class: of boxes that overlap, the one with the highest score
    stays, with all that belongs to it, such as its mask; on a tie the one of ``first``. If one of
    the two is empty, the other is not suppressed any further.

    Args:
        first: ``bboxes`` ``(N, 4)`` as ``(x1, y1, x2, y2)``, ``scores``, perhaps ``labels`` and
            other entries.
        second: the same entries.
        weight: of ``second``, in [0, 1]. The scores of the one that weighs less are multiplied by
            the ratio of both weights; at 0.5 all stay.
        iou_threshold: boxes overlap above this intersection over union, in [0, 1].
        most: keep at most this many, the best ones; ``None``: all.

    Returns:
        Scores in descending order.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the boxes have not four numbers.
    """
    _check(weight)
    heavier = max(weight, 1 - weight)
    parts = []
    for found, share in ((first, 1 - weight), (second, weight)):
        if len(found):
            parts.append(found[:])  # a copy: the caller's scores stay
            parts[-1].scores = found.scores * (share / heavier)
    if not parts:
        return first
    union = InstanceData.cat(parts)
    union = union[union.scores.sort(descending=True, stable=True).indices]
    return (union[_unsuppressed(union, iou_threshold)] if len(parts) == 2 else union)[:most]


def _unsuppressed(found: InstanceData, iou_threshold: float) -> Tensor:
    """Indices of what stays, ascending; scores are in descending order."""
    boxes = found.bboxes
    boxes = at_least_float32(getattr(boxes, 'tensor', boxes))
    if boxes.shape[1] != 4:
        raise DataError(f'boxes must have 4 numbers (x1, y1, x2, y2), got {boxes.shape[1]}')
    labels = found.get('labels', torch.zeros(len(found), device=boxes.device))
    # It moves classes apart by the largest coordinate, which only works from 0 on.
    boxes = boxes - boxes.min()
    return batched_nms(boxes, at_least_float32(found.scores), labels, iou_threshold).sort().values


def _suppression_of(host: Any) -> dict[str, Any]:
    """What a detector's own ``test_cfg`` says of suppression, as arguments."""
    settings = getattr(host, 'test_cfg', None) or {}
    settings = settings.get('rcnn') or settings  # of the second stage
    nms, most = settings.get('nms') or {}, settings.get('max_per_img')
    iou = nms.get('iou_threshold', nms.get('iou_thr', IOU_THRESHOLD))
    return dict(iou_threshold=iou, most=most if most and most > 0 else None)


@MODELS.register_module()
class RawEnhancedMerge(TwoLooks):
    """Merges a network's predictions for the raw and the enhanced image.

    For tests only, see :class:`TwoLooks`. The host infers both versions of the image in full: whole
    or sliding, padding removed, flipped back, in the coordinates of the original image.

    Segmentors: the class with the largest ``(1 - weight) softmax(raw) + weight softmax(enhanced)``.
    A single-channel head is merged after its sigmoid and compared with its own threshold. Heads
    whose scores are not logits (Mask2Former) are merged as if they were. The samples hold
    ``pred_sem_seg`` and, as ``seg_logits``, the merged log probabilities (probabilities of a
    single-channel head).

    Detectors: the boxes of both, suppressed class by class, see :func:`merge_detections`, at the
    IoU of the ``nms`` in the host's ``test_cfg`` (0.5 if there is none), and at most its
    ``max_per_img``. The samples hold ``pred_instances``.

    A weight of 0 gives exactly the raw prediction, 1 exactly the enhanced one, each at the cost of
    one inference; an image that the enhancer leaves as it is gets exactly the raw one.

    A config takes the host's model, enhancer included, unchanged::

        model = dict(_delete_=True, type='sci_plugins.RawEnhancedMerge', host=_base_.model)

    Args:
        host: an mmseg segmentor or mmdet detector with an enhancing data preprocessor, or its
            config.
        weight: of the enhanced image, in [0, 1].
        data_preprocessor, init_cfg: see :class:`TwoLooks`.
        segmentor: the older name of ``host``.

    Raises:
        ConfigError: if the weight is out of range or there is no enhancer.
    """

    def __init__(
        self,
        host: nn.Module | Mapping[str, Any] | None = None,
        weight: float = 0.5,
        data_preprocessor: Any = None,
        init_cfg: dict | None = None,
        segmentor: nn.Module | Mapping[str, Any] | None = None,
    ) -> None:
        _check(weight)
        given = [each for each in (host, segmentor) if each is not None]
        if len(given) != 1:
            raise ConfigError(
                'RawEnhancedMerge takes a model as its host, or as segmentor, the older name; got '
                f'{"both" if given else "neither"}'
            )
        super().__init__(given[0], data_preprocessor, init_cfg)
        self.weight = weight

    @property
    def segmentor(self) -> Any:
        """The older name of ``host``."""
        return self.host

    def test_step(self, data: Any) -> list:
        """As in :meth:`TwoLooks.test_step`; one inference for a weight of 0 or 1."""
        if self.weight in (0, 1):
            return self._predict(self._prepare(data, enhanced=self.weight == 1))
        return super().test_step(data)

    def _combine(self, raw: Any, enhanced: Any) -> Any:
        if all(_has_boxes(sample) for sample in (raw, enhanced)):
            first, second = raw.pred_instances, enhanced.pred_instances
            settings = _suppression_of(self.host)
            enhanced.pred_instances = merge_detections(first, second, self.weight, **settings)
            return enhanced
        return self._merge_logits(_logits(raw), _logits(enhanced), enhanced)

    def _merge_logits(self, raw: Tensor, enhanced: Tensor, sample: Any) -> Any:
        if len(raw) > 1:
            merged = merge_logits(raw, enhanced, self.weight)
            classes = merged.argmax(dim=0, keepdim=True)
        else:
            merged = merge_probabilities(raw, enhanced, self.weight)
            classes = (merged > self.host.decode_head.threshold).to(merged)
        sample.set_data(
            dict(seg_logits=PixelData(data=merged), pred_sem_seg=PixelData(data=classes))
        )
        return sample


def _has_boxes(sample: Any) -> bool:
    found = sample.get('pred_instances')
    # A panoptic map cannot be merged with them.
    return found is not None and 'bboxes' in found and 'pred_panoptic_seg' not in sample


def _logits(sample: Any) -> Tensor:
    if 'seg_logits' not in sample:
        raise ConfigError(
            'RawEnhancedMerge needs a model that returns seg_logits, or boxes alone, got '
            f'{", ".join(sample.keys()) or "nothing"}'
        )
    logits: Tensor = sample.seg_logits.data
    return logits
