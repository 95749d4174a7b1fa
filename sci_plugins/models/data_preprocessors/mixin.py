"""The plug-in point: enhancement in front of a host, as part of its model.

A host's data preprocessor is an ``nn.Module`` that MMEngine calls before
``forward``, with gradients on in training. Enhancing there leaves the host, its
checkpoint keys and its tools as they are.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.host_image import fill_mask, host_to_rgb, rgb_to_host, valid_size
from sci_plugins.models.enhancers import BaseEnhancer, Enhanced, RetinexEnhancer, build_enhancer

INPUT_ORDERS = ('bgr', 'rgb')
_NORMS = (nn.modules.batchnorm._NormBase,)


class EnhancementMixin(nn.Module):
    """Enhances each image before the host normalises and pads it.

    Comes before the host's class in the bases, as in
    ``class EnhancedX(EnhancementMixin, X)``. Per image: host's channel order,
    [0, 255] -> RGB [0, 1] -> enhance, in float32 also under autocast -> back ->
    the host's own ``forward``.
    """

    enhancer: BaseEnhancer

    def setup_enhancement(
        self,
        enhancer: BaseEnhancer | Mapping[str, Any] | str,
        frozen: bool = True,
        norm_eval: bool = True,
        input_order: str = 'bgr',
        fill_color: float | Sequence[float] | None = None,
    ) -> None:
        """Build the enhancer and set how it takes part in training.

        Args:
            enhancer: whatever :func:`build_enhancer` takes.
            frozen: no gradients reach the enhancer, and it stays in eval mode;
                ``False`` trains it with the host's task.
            norm_eval: its BatchNorm layers keep their statistics in training.
            input_order: channel order that the host's pipeline loads, ``'bgr'``
                or ``'rgb'``. Never guessed from ``bgr_to_rgb``: YOLOX and RTMDet
                leave that off and load BGR.
            fill_color: colour on the [0, 255] scale, in the host's channel
                order, that the pipeline pads with, and that stays as it is;
                ``None`` if it does not pad.

        Raises:
            ConfigError: if an argument is out of range.
        """
        if input_order not in INPUT_ORDERS:
            raise ConfigError(f"input_order must be 'bgr' or 'rgb', got {input_order!r}")
        self.enhancer = build_enhancer(enhancer)
        self.frozen = frozen
        self.norm_eval = norm_eval
        self.input_order = input_order
        self.fill_color = _three(fill_color)
        #: Set by EnhancementLossHook; the pairs (input, illumination) of a batch.
        self.keep_pairs = False
        self.kept_pairs: list[tuple[Tensor, Tensor]] = []
        device: Any = self.device
        self.enhancer.to(device)
        self.enhancer.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'EnhancementMixin':
        """Like ``nn.Module.train``, except for what ``frozen`` and ``norm_eval`` keep."""
        super().train(mode)
        if self.frozen:
            self.enhancer.eval()
        elif self.norm_eval:
            for module in self.enhancer.modules():
                if isinstance(module, _NORMS):
                    module.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'EnhancementMixin':
        # `model.half()` and `.double()` leave the enhancer in float32: it divides by a
        # small illumination, and its input is float32 whatever the host becomes.
        enhancer = self._modules.pop('enhancer')
        try:
            super()._apply(fn, recurse)
        finally:
            self._modules['enhancer'] = enhancer
        enhancer._apply(lambda tensor: _keep_dtype(fn(tensor), tensor))  # type: ignore[union-attr]
        return self

    def forward(self, data: dict, training: bool = False) -> dict | list:
        """Enhance ``data['inputs']``, then do what the host does.

        Args:
            data: with ``inputs``, a list of ``(3, H, W)`` or one ``(N, 3, H, W)``,
                uint8 or float on the [0, 255] scale, and perhaps ``data_samples``.
            training: as in the host.

        Raises:
            DataError: if the batch is empty, or an image has not three channels
                or holds NaN or infinite values.
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

    def enhance_image(self, image: Tensor, training: bool, path: str = '') -> Tensor:
        """A host's image, ``(3, H, W)`` in [0, 255], enhanced: float32, same size."""
        _check_image(image, path)
        if self.fill_color is None:
            return self._enhance_valid(image, training)
        height, width = valid_size(image, self.fill_color)
        enhanced = self._enhance_valid(image[:, :height, :width], training)
        if (height, width) != tuple(image.shape[1:]):
            whole = image.to(torch.float32, copy=True)  # not the caller's memory
            whole[:, :height, :width] = enhanced
            enhanced = whole
        if training:
            mask = fill_mask(image, self.fill_color)
            enhanced = torch.where(mask, image.float(), enhanced)
        return enhanced

    def _enhance_valid(self, image: Tensor, training: bool) -> Tensor:
        # Division by a small illumination needs float32, whatever AMP asks for.
        with torch.autocast(image.device.type, enabled=False):
            rgb = host_to_rgb(image.unsqueeze(0), self.input_order)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                enhanced = self._run_enhancer(rgb, training)
            return rgb_to_host(enhanced, self.input_order)[0]

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


def _keep_dtype(changed: Tensor, tensor: Tensor) -> Tensor:
    same = changed.dtype == tensor.dtype
    return changed if same else tensor.to(changed.device)


def _three(color: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if color is None:
        return None
    values = tuple(color) if isinstance(color, Sequence) else (color,) * 3
    if len(values) != 3:
        raise ConfigError(f'fill_color must be one or three values, got {color!r}')
    return tuple(float(value) for value in values)


def _image_paths(samples: Any, count: int) -> list[str]:
    if not isinstance(samples, Sequence) or len(samples) != count:
        return [''] * count
    return [str(getattr(sample, 'img_path', '')) for sample in samples]


def _check_image(image: Tensor, path: str) -> None:
    where = f' ({path})' if path else ''
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise DataError(f'expected an image of shape (3, H, W), got {tuple(image.shape)}{where}')
    if image.is_floating_point() and not bool(torch.isfinite(image).all()):
        raise DataError(f'the image holds NaN or infinite values{where}')
