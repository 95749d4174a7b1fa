"""Test-time merging of a segmentor's predictions for the raw and the enhanced image."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import PixelData
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.losses import at_least_float32
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
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


_OWN = 'segmentor.'


@MODELS.register_module()
class RawEnhancedMerge(BaseModel):
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

    def __init__(
        self,
        segmentor: nn.Module | Mapping[str, Any],
        weight: float = 0.5,
        data_preprocessor: Any = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        # Replaced by the property below: the segmentor's own must not be registered twice.
        del self._modules['data_preprocessor']
        _check(weight)
        self.weight = weight
        if not isinstance(segmentor, nn.Module):
            config = dict(segmentor)
            if data_preprocessor is not None:
                config.setdefault('data_preprocessor', data_preprocessor)
            segmentor = ROOT_MODELS.build(config)
        self.segmentor: Any = segmentor
        self._enhancing()

    @property
    def data_preprocessor(self) -> Any:
        """The segmentor's, where hooks and :func:`attach` look for it."""
        return self.segmentor.data_preprocessor

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

    def val_step(self, data: Any) -> list:
        """Same as :meth:`test_step`."""
        return self.test_step(data)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Raises ConfigError: merging is for tests only."""
        raise ConfigError('RawEnhancedMerge is for tests: train its segmentor, then merge')

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The segmentor's raw tensors for preprocessed inputs.

        Raises:
            ConfigError: in any mode but ``'tensor'``: merging starts from the data loader's images.
        """
        if mode != 'tensor':
            raise ConfigError(
                f'RawEnhancedMerge merges in test_step, not in forward(mode={mode!r})'
            )
        return self.segmentor(inputs, data_samples, mode=mode)

    def _look(self, data: Any, enhanced: bool) -> list:
        preprocessor = self._enhancing()
        # Skipping the mixin leaves exactly the host's own preprocessing.
        host: Any = super(EnhancementMixin, preprocessor)
        ready = preprocessor(data, False) if enhanced else host.forward(data, False)
        samples: list = self.segmentor._run_forward(ready, mode='predict')
        return samples

    def _enhancing(self) -> EnhancementMixin:
        found = getattr(self.segmentor, 'data_preprocessor', None)
        if not isinstance(found, EnhancementMixin):
            raise ConfigError(
                'RawEnhancedMerge needs a segmentor with an enhancer: its '
                'data_preprocessor must be sci_plugins.EnhancedSegDataPreProcessor, got '
                f'{type(found).__name__}'
            )
        return found

    def _merge_into(self, sample: Any, raw: Tensor) -> None:
        enhanced = _logits(sample)
        if len(raw) > 1:
            merged = merge_logits(raw, enhanced, self.weight)
            classes = merged.argmax(dim=0, keepdim=True)
        else:
            merged = merge_probabilities(raw, enhanced, self.weight)
            classes = (merged > self.segmentor.decode_head.threshold).to(merged)
        sample.set_data(
            dict(seg_logits=PixelData(data=merged), pred_sem_seg=PixelData(data=classes))
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Accept a segmentor's own checkpoint, whose keys lack the prefix of this wrapper."""
        names = [key for key in state_dict if key.startswith(prefix)]
        if not any(key.startswith(prefix + _OWN) for key in names):
            for key in names:
                value = state_dict.pop(key)
                state_dict[f'{prefix}{_OWN}{key.removeprefix(prefix)}'] = value
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _logits(sample: Any) -> Tensor:
    if 'seg_logits' not in sample:
        raise ConfigError(
            'RawEnhancedMerge needs a segmentor that returns seg_logits, got '
            f'{", ".join(sample.keys()) or "nothing"}'
        )
    logits: Tensor = sample.seg_logits.data
    return logits
