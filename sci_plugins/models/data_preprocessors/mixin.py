"""The plug-in point: enhancement in front of a host, as part of its model.

A host's data preprocessor is an ``nn.Module`` that MMEngine calls before
``forward``, with gradients on in training. Enhancing there leaves the host, its
checkpoint keys and its tools as they are.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from sci_plugins.errors import DataError
from sci_plugins.models.enhancement_stage import EnhancementStep
from sci_plugins.models.enhancers import BaseEnhancer, Enhanced, RetinexEnhancer

_DEFAULT = object()


class EnhancementMixin(EnhancementStep):
    """Enhances each image before the host normalises and pads it.

    Comes before the host's class in the bases, as in
    ``class EnhancedX(EnhancementMixin, X)``: the step of :class:`EnhancementStage` on
    the host's ``inputs``, then the host's own ``forward``.
    """

    #: Taken where no ``fill_color`` is named.
    default_fill_color: float | None = None
    #: Set by EnhancementLossHook; the pairs (input, illumination) of a batch.
    keep_pairs: bool
    kept_pairs: list[tuple[Tensor, Tensor]]

    def __init__(
        self,
        enhancer: BaseEnhancer | Mapping[str, Any] | str,
        frozen: bool = True,
        norm_eval: bool = True,
        input_order: str = 'bgr',
        fill_color: Any = _DEFAULT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        color = self.default_fill_color if fill_color is _DEFAULT else fill_color
        self.setup_enhancement(enhancer, frozen, norm_eval, input_order, color)

    def setup_enhancement(self, *args: Any, **kwargs: Any) -> None:
        """As in :meth:`EnhancementStep.setup_enhancement`, on the host's device.

        Raises:
            ConfigError: if an argument is out of range.
        """
        self.keep_pairs = False
        self.kept_pairs = []
        super().setup_enhancement(*args, **kwargs)
        device: Any = self.device
        self.enhancer.to(device)

    def forward(self, data: dict, training: bool = False) -> dict | list:
        """Enhance ``data['inputs']``, then do what the host does.

        Args:
            data: with ``inputs``, a list of ``(3, H, W)`` or one ``(N, 3, H, W)``,
                uint8 or float on the [0, 255] scale, and perhaps ``data_samples``.
            training: as in the host.

        Raises:
            DataError: if the batch is empty, or an image has not three channels, is
                neither uint8 nor float, or holds NaN or infinite values.
        """
        data = self.cast_data(data)  # type: ignore[operator]
        paths = _image_paths(data.get('data_samples'), len(data['inputs']))
        if len(data['inputs']) == 0:
            raise DataError('the batch is empty: expected at least one image')
        self.kept_pairs = []
        images = [
            self.enhance_image(image, training, path)
            for image, path in zip(data['inputs'], paths, strict=True)
        ]
        stacked = isinstance(data['inputs'], Tensor)
        inputs = torch.stack(images) if stacked else images
        return super().forward({**data, 'inputs': inputs}, training)

    def _run_enhancer(self, rgb: Tensor, training: bool) -> Tensor:
        if not (training and self.keep_pairs and isinstance(self.enhancer, RetinexEnhancer)):
            return self.enhancer(rgb)
        result: Enhanced = self.enhancer.illuminate(rgb)
        self.kept_pairs.append((rgb, result.illumination))
        return result.image

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """A checkpoint without an enhancer (a plain host's) leaves ours as it is."""
        own = f'{prefix}enhancer.'
        entries = self.enhancer.state_dict(prefix=own)
        if entries and not any(key.startswith(own) for key in state_dict):
            state_dict.update(entries)
            print_log(
                f'the checkpoint holds no enhancer: {type(self.enhancer).__name__} keeps '
                'the weights that it has',
                logger='current',
                level=logging.INFO,
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _image_paths(samples: Any, count: int) -> list[str]:
    if not isinstance(samples, Sequence) or len(samples) != count:
        return [''] * count
    return [str(getattr(sample, 'img_path', '')) for sample in samples]
