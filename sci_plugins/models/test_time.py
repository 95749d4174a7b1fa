"""Models for test time only: a network looks at every image twice, as it is and enhanced."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn
from torchvision.ops import batched_nms

from sci_plugins.errors import ConfigError, DataError, check_at_least
from sci_plugins.functional.losses import at_least_float32
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import MODELS

#: A model, or its config.
Host = nn.Module | Mapping[str, Any]


class TwoLooks(BaseModel):
    """A host's model whose :meth:`test_step` may look at raw and at enhanced images.

    For tests only. A second inference is made only where the enhancer changes a batch; the
    prediction of an image that stays as it is, is the raw one. The host's checkpoints load.

    Args:
        host: a model, or its config; without ``views`` with an enhancing data preprocessor, else
            ConfigError.
        data_preprocessor: used if the model's config has none; MMEngine's Runner passes the one at
            the top level of a config.
        views: the pipeline gives both images, by :class:`sci_plugins.RawAndEnhanced`: enhanced
            before its resize. The data preprocessor then enhances nothing.
    """

    def __init__(
        self, host: Host, data_preprocessor: Any = None, init_cfg: Any = None, views: bool = False
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        # Replaced by the property below: the host's own must not be registered twice.
        del self._modules['data_preprocessor']
        if not isinstance(host, nn.Module):
            config = dict(host)
            if data_preprocessor is not None:
                config.setdefault('data_preprocessor', data_preprocessor)
            host = ROOT_MODELS.build(config)
        self.host: Any = host
        self.views = views
        if not views:
            self._enhancing()

    @property
    def data_preprocessor(self) -> Any:
        """The host's, where hooks and :func:`attach` look for it."""
        return self.host.data_preprocessor

    def test_step(self, data: Any) -> list:
        """Predictions for a batch of the data loader, as data samples of the host.

        Raises ConfigError if the model predicts something else than what is combined here.
        """
        before, after = (self._prepare(data, enhanced) for enhanced in (False, True))
        # A preprocessor may copy no samples: the second look would overwrite the first's.
        samples = [sample.new() for sample in self._predict(before)]
        changed = _changed(before['inputs'], after['inputs'])
        seconds = self._predict(after) if any(changed) else samples
        rows = zip(samples, seconds, changed, strict=True)
        return [self._combine(*pair) if differs else self._keep(pair[0]) for *pair, differs in rows]

    @abstractmethod
    def _combine(self, raw: Any, enhanced: Any) -> Any:
        """One sample out of those of the raw and of the enhanced image."""

    def _keep(self, raw: Any) -> Any:
        """The sample of an image that the enhancer leaves as it is."""
        return raw

    val_step = test_step

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Raises ConfigError: it is for tests only."""
        name = type(self).__name__
        raise ConfigError(f'{name} is for tests: train its host, then put it in {name}')

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The host's raw tensors for preprocessed inputs; ConfigError for another mode."""
        if mode != 'tensor':
            name = type(self).__name__
            raise ConfigError(f'{name} works in test_step, not in forward(mode={mode!r})')
        return self.host(inputs, data_samples, mode=mode)

    def _prepare(self, data: Any, enhanced: bool) -> dict[str, Any]:
        """What the host's own preprocessing makes of the data loader's images."""
        if not self.views and 'views' in data:
            raise ConfigError('the pipeline gives raw and enhanced images: set views=True')
        preprocessor = self.data_preprocessor if self.views else self._enhancing()
        data = _view(data, int(enhanced)) if self.views else data
        if isinstance(preprocessor, EnhancementMixin) and (self.views or not enhanced):
            # Skipping the mixin leaves exactly the host's own preprocessing.
            host: Any = super(EnhancementMixin, preprocessor)
            return host.forward(data, False)
        return preprocessor(data, False)

    def _predict(self, ready: dict[str, Any]) -> list:
        return self.host._run_forward(ready, mode='predict')

    def _enhancing(self) -> EnhancementMixin:
        found = getattr(self.host, 'data_preprocessor', None)
        if not isinstance(found, EnhancementMixin):
            wish = 'sci_plugins.EnhancedDetDataPreprocessor or EnhancedSegDataPreProcessor'
            needs = f'a host with an enhancer: its data_preprocessor must be {wish}'
            raise ConfigError(f'{type(self).__name__} needs {needs}, got {type(found).__name__}')
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Accept a host's own checkpoint, whose keys lack the prefix of this wrapper."""
        own = f'{prefix}host.'
        names = [key for key in state_dict if key.startswith(prefix)]
        if not any(key.startswith(own) for key in names):
            for key in names:
                # In older files RawEnhancedMerge has another prefix.
                name = key.removeprefix(prefix).removeprefix('segmentor.')
                state_dict[own + name] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _view(data: Any, index: int) -> dict[str, Any]:
    """The raw or the enhanced view of a batch, as the data loader collates them."""
    if 'views' not in data:
        wish = 'two views of each image, by sci_plugins.RawAndEnhanced in the test pipeline'
        raise ConfigError(f'views=True expects {wish}, got {", ".join(data)} without views')
    return {key: value[index] for key, value in data.items() if key != 'views'}


def _changed(before: Tensor, after: Tensor) -> list[bool]:
    if before.shape != after.shape:
        return [True] * len(before)
    return [not torch.equal(*pair) for pair in zip(before, after, strict=True)]


def merge_logits(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """Logits of the weighted mean of two predictions' class probabilities.

    ``log((1 - weight) softmax(first) + weight softmax(second))``, in the log domain, so that
    improbable classes do not underflow. Both are ``(C, ...)`` logits, classes first; the result is
    at least float32, log probabilities. A weight, in [0, 1], of 0 gives ``first``, 1 ``second``.

    Raises ConfigError if the weight is out of range, DataError if the shapes differ.
    """
    _check(weight, first, second)
    if weight in (0, 1):
        return second if weight else first
    one, other = (at_least_float32(logits).log_softmax(dim=0) for logits in (first, second))
    return torch.logaddexp(one + math.log(1 - weight), other + math.log(weight))


def merge_probabilities(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """``(1 - weight) first + weight second`` of sigmoids; else as :func:`merge_logits`."""
    _check(weight, first, second)
    if weight in (0, 1):
        return second if weight else first
    return (1 - weight) * at_least_float32(first) + weight * at_least_float32(second)


def _check(weight: float, *predictions: Tensor) -> None:
    check_at_least(0.0, most=1, weight=weight)
    shapes = [tuple(each.shape) for each in predictions]
    if len(set(shapes)) > 1:
        told = ' and '.join(map(str, shapes))
        raise DataError(f'predictions must have the same shape, got {told}')


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
    the two is empty, the other is not suppressed any further. The best come first.

    Args:
        first, second: ``bboxes`` ``(N, 4)`` as ``(x1, y1, x2, y2)``, ``scores``, perhaps ``labels``
            and other entries, the same in both.
        weight: of ``second``, in [0, 1]. The scores of the one that weighs less are multiplied by
            the ratio of both weights; at 0.5 all stay.
        iou_threshold: boxes overlap above this intersection over union, in [0, 1].
        most: keep at most this many; ``None``: all.

    Raises ConfigError if the weight is out of range, DataError if boxes have not four numbers.
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

    For tests only, see :class:`TwoLooks`. With a weight of 0 or 1, only one of them is inferred,
    and given exactly.

    Segmentors: the class with the largest ``(1 - weight) softmax(raw) + weight softmax(enhanced)``,
    for a single-channel head by its sigmoid and its own threshold. Heads whose scores are not
    logits (Mask2Former) are merged as if they were. The samples hold ``pred_sem_seg`` and, as
    ``seg_logits``, the merged log probabilities (probabilities of a single-channel head).

    Detectors: :func:`merge_detections` by the ``nms`` and ``max_per_img`` of the host's
    ``test_cfg`` (else 0.5 and all). The samples hold ``pred_instances``.

    A config takes the host's model, enhancer included, unchanged::

        model = dict(_delete_=True, type='sci_plugins.RawEnhancedMerge', host=_base_.model)

    Args:
        host: an mmseg segmentor or mmdet detector, as of :class:`TwoLooks`; ``segmentor`` is its
            older name.
        weight: of the enhanced image, in [0, 1], else ConfigError.
        **kwargs: those of :class:`TwoLooks`.
    """

    def __init__(
        self,
        host: Host | None = None,
        weight: float = 0.5,
        segmentor: Host | None = None,
        **kwargs: Any,
    ) -> None:
        _check(weight)
        given = [each for each in (host, segmentor) if each is not None]
        if len(given) != 1:
            wish, got = 'as segmentor, the older name', 'both' if given else 'neither'
            raise ConfigError(f'RawEnhancedMerge takes a model as its host, or {wish}; got {got}')
        super().__init__(given[0], **kwargs)
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
        if _has_boxes(raw) and _has_boxes(enhanced):
            first, second = raw.pred_instances, enhanced.pred_instances
            settings = _suppression_of(self.host)
            enhanced.pred_instances = merge_detections(first, second, self.weight, **settings)
            return enhanced
        pair = _logits(raw), _logits(enhanced)
        if len(pair[0]) > 1:
            merged = merge_logits(*pair, self.weight)
            classes = merged.argmax(dim=0, keepdim=True)
        else:
            merged = merge_probabilities(*pair, self.weight)
            classes = (merged > self.host.decode_head.threshold).to(merged)
        found = dict(seg_logits=PixelData(data=merged), pred_sem_seg=PixelData(data=classes))
        enhanced.set_data(found)
        return enhanced


def _has_boxes(sample: Any) -> bool:
    found = sample.get('pred_instances')
    # A panoptic map cannot be merged with them.
    return found is not None and 'bboxes' in found and 'pred_panoptic_seg' not in sample


def _logits(sample: Any) -> Tensor:
    if 'seg_logits' not in sample:
        raise _lacks(sample, 'RawEnhancedMerge', 'seg_logits, or boxes alone')
    return sample.seg_logits.data


def _lacks(sample: Any, owner: str, wish: str) -> ConfigError:
    got = ', '.join(sample.keys()) or 'nothing'
    return ConfigError(f'{owner} needs a model that returns {wish}, got {got}')


#: How many predictions make a detector's confidence: the best ones.
TOP = 20


def segmentation_confidence(logits: Tensor) -> float:
    """Mean over pixels of the likeliest class's probability, in [0, 1].

    Of logits ``(C, H, W)``; of a single-channel head, as mmseg gives it, the probability itself.
    """
    logits = at_least_float32(logits)
    classes = logits.softmax(0) if len(logits) > 1 else torch.cat([logits, 1 - logits])
    return float(classes.amax(0).mean())


def detection_confidence(scores: Tensor) -> float:
    """How many objects there are, weighted by how sure each is: 0 to 20.

    The sum of the best 20 scores ``(N,)`` of an image, each in [0, 1], after suppression.
    """
    return float(at_least_float32(scores).topk(min(TOP, len(scores))).values.sum())


@MODELS.register_module()
class RawEnhancedSelect(TwoLooks):
    """Keeps, for each image, the prediction that the network is surer of: raw or enhanced.

    For tests only. Config, arguments (without ``weight``) and errors as of
    :class:`RawEnhancedMerge`. On a tie the raw image stays. The metainfo of each sample says
    ``selected``: ``'raw'`` or ``'enhanced'``. It helps where image statistics cannot tell what the
    network knows (a segmentor trained at dusk), and fails where the network is confidently wrong.

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
    raise _lacks(sample, 'RawEnhancedSelect', 'seg_logits or scores')
