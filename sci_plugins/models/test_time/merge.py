"""One segmentor, two looks at each image: as it is, and enhanced."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import PixelData
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import MODELS


def merge_logits(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """Logits of the mean of two predictions' class probabilities.

    ``log((1 - weight) softmax(first) + weight softmax(second))``, computed without
    leaving the logarithm: a class that both find improbable stays comparable.

    Args:
        first: ``(C, ...)`` logits, classes first.
        second: the same shape.
        weight: of ``second``, in [0, 1].

    Returns:
        ``(C, ...)``, float32 or wider: logarithms of probabilities, whose softmax are
        the probabilities. With a weight of 0 or 1 the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    weight = check_weight(weight)
    _check_shapes(first, second)
    if weight in (0, 1):
        return second if weight else first
    parts = [
        _wide(logits).log_softmax(dim=0) + math.log(share)
        for logits, share in ((first, 1 - weight), (second, weight))
    ]
    return parts[0].logaddexp(parts[1])


def merge_probabilities(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """``(1 - weight) first + weight second``, for a head of one channel after sigmoid.

    Args:
        first, second: probabilities in [0, 1], of one shape.
        weight: of ``second``, in [0, 1].

    Returns:
        The same shape, float32 or wider; with a weight of 0 or 1 the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    weight = check_weight(weight)
    _check_shapes(first, second)
    if weight in (0, 1):
        return second if weight else first
    return (1 - weight) * _wide(first) + weight * _wide(second)


def check_weight(weight: float) -> float:
    """``weight`` if it is in [0, 1].

    Raises:
        ConfigError: otherwise.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f'weight must be in [0, 1], got {weight}')
    return weight


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.element_size() < 4 else values


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise DataError(
            f'predictions must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}'
        )


_OWN = 'segmentor.'


@MODELS.register_module()
class RawEnhancedMerge(BaseModel):
    """Averages a segmentor's class probabilities for the raw and the enhanced image.

    For tests only, at twice the cost. Each image is enhanced once, and each look is
    inferred as the host does it: whole or sliding, padding cut off, flipped back,
    resized to the original. Then ``(1 - weight) softmax(raw) + weight softmax(enhanced)``
    and the class with the largest. A head of one channel is merged after its sigmoid
    and compared with its own threshold. A weight of 0 is the raw prediction and 1 the
    enhanced one, to the bit and at the cost of one. Heads whose scores are no logits
    (Mask2Former) are merged as if they were.

    A config takes the host's model with its enhancer as it stands::

        model = dict(
            _delete_=True, type='sci_plugins.RawEnhancedMerge', segmentor=_base_.model)

    Checkpoints of the plain or the enhanced segmentor load unchanged.

    Args:
        segmentor: config of an mmseg segmentor with an ``EnhancedSegDataPreProcessor``,
            or one that is built.
        weight: of the enhanced image, in [0, 1].
        data_preprocessor: used if the segmentor's config has none; MMEngine's Runner
            hands over what stands at the top of a config.
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
        # The segmentor's own is found through it; see the property.
        del self._modules['data_preprocessor']
        self.weight = check_weight(weight)
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
            The host's data samples: ``pred_sem_seg`` with the merged classes,
            ``seg_logits`` with the logarithms of the merged probabilities (with the
            probabilities, for a head of one channel).

        Raises:
            ConfigError: if the model gives no logits.
        """
        if self.weight == 0:
            return self._look(data, enhanced=False)
        if self.weight == 1:
            return self._look(data, enhanced=True)
        raw = [_logits(sample) for sample in self._look(data, enhanced=False)]
        samples = self._look(data, enhanced=True)
        for logits, sample in zip(raw, samples, strict=True):
            self._merge_into(sample, logits)
        return samples

    def val_step(self, data: Any) -> list:
        """The same as :meth:`test_step`."""
        return self.test_step(data)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Raises ConfigError: merging is for tests."""
        raise ConfigError('RawEnhancedMerge is for tests: train its segmentor, then merge')

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The segmentor's raw tensors for inputs that are preprocessed already.

        Raises:
            ConfigError: in another mode than ``'tensor'``: two looks begin with the
                images of the data loader.
        """
        if mode != 'tensor':
            raise ConfigError(
                f'RawEnhancedMerge merges in test_step, not in forward(mode={mode!r})'
            )
        return self.segmentor(inputs, data_samples, mode=mode)

    def _look(self, data: Any, enhanced: bool) -> list:
        preprocessor = self._enhancing()
        # Without the mixin's step it is the host's class, to the bit.
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
        """A segmentor's checkpoint knows nothing of the wrapper around it."""
        names = [key for key in state_dict if key.startswith(prefix)]
        if not any(key.startswith(prefix + _OWN) for key in names):
            for key in names:
                value = state_dict.pop(key)
                state_dict[f'{prefix}{_OWN}{key.removeprefix(prefix)}'] = value
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _logits(sample: Any) -> Tensor:
    if 'seg_logits' not in sample:
        raise ConfigError(
            'RawEnhancedMerge needs a segmentor that gives seg_logits, got '
            f'{", ".join(sample.keys()) or "nothing"}'
        )
    logits: Tensor = sample.seg_logits.data
    return logits
