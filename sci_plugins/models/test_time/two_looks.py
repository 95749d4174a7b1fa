"""A model that looks at every image twice: as it is, and enhanced."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin


class TwoLooks(BaseModel):
    """A host's model whose :meth:`test_step` may look at raw and at enhanced images.

    For tests only. A second inference is made only where the enhancer changes a batch: behind a
    gate or an adaptive stage that is off, it costs the enhancer alone. The prediction of an image
    that stays as it is, is the raw one. Checkpoints of the plain or the enhanced model load
    unchanged.

    Args:
        host: a model with an enhancing data preprocessor, or its config.
        data_preprocessor: used if the model's config has none; MMEngine's Runner passes the one at
            the top level of a config.
        init_cfg: as in MMEngine.

    Raises:
        ConfigError: if there is no enhancer.
    """

    def __init__(
        self,
        host: nn.Module | Mapping[str, Any],
        data_preprocessor: Any = None,
        init_cfg: dict | None = None,
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
        self._enhancing()

    @property
    def data_preprocessor(self) -> Any:
        """The host's, where hooks and :func:`attach` look for it."""
        return self.host.data_preprocessor

    def test_step(self, data: Any) -> list:
        """Predictions for a batch of the data loader, as data samples of the host.

        Raises:
            ConfigError: if the model predicts something else than what is combined here.
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

    def val_step(self, data: Any) -> list:
        """Same as :meth:`test_step`."""
        return self.test_step(data)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Raises ConfigError: it is for tests only."""
        name = type(self).__name__
        raise ConfigError(f'{name} is for tests: train its host, then put it in {name}')

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The host's raw tensors for preprocessed inputs.

        Raises:
            ConfigError: in any mode but ``'tensor'``: it starts from the data loader's images.
        """
        if mode != 'tensor':
            raise ConfigError(
                f'{type(self).__name__} works in test_step, not in forward(mode={mode!r})'
            )
        return self.host(inputs, data_samples, mode=mode)

    def _prepare(self, data: Any, enhanced: bool) -> dict[str, Any]:
        """What the host's own preprocessing makes of the data loader's images."""
        preprocessor = self._enhancing()
        # Skipping the mixin leaves exactly the host's own preprocessing.
        host: Any = super(EnhancementMixin, preprocessor)
        ready: dict[str, Any] = preprocessor(data, False) if enhanced else host.forward(data, False)
        return ready

    def _predict(self, ready: dict[str, Any]) -> list:
        samples: list = self.host._run_forward(ready, mode='predict')
        return samples

    def _enhancing(self) -> EnhancementMixin:
        found = getattr(self.host, 'data_preprocessor', None)
        if not isinstance(found, EnhancementMixin):
            raise ConfigError(
                f'{type(self).__name__} needs a host with an enhancer: its '
                'data_preprocessor must be sci_plugins.EnhancedDetDataPreprocessor or '
                f'EnhancedSegDataPreProcessor, got {type(found).__name__}'
            )
        return found

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Accept a host's own checkpoint, whose keys lack the prefix of this wrapper."""
        own = f'{prefix}host.'
        names = [key for key in state_dict if key.startswith(prefix)]
        if not any(key.startswith(own) for key in names):
            for key in names:
                # In older files RawEnhancedMerge has another prefix.
                name = key.removeprefix(prefix).removeprefix('segmentor.')
                state_dict[own + name] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _changed(before: Tensor, after: Tensor) -> list[bool]:
    """Which images of a batch differ."""
    if before.shape != after.shape:
        return [True] * len(before)
    return [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
