"""Enhancement in front of any PyTorch model: ``nn.Sequential(EnhancementStage(…), model)``.

Knows nothing of the model behind it, nor of any framework. What it does is also the
step of the data preprocessors in front of MMEngine's models.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.host_image import fill_mask, host_to_rgb, rgb_to_host, valid_size
from sci_plugins.models.enhancers import BaseEnhancer, build_enhancer

Images = TypeVar('Images', Tensor, list[Tensor])
INPUT_ORDERS = ('bgr', 'rgb')
_NORMS = (nn.modules.batchnorm._NormBase,)


class EnhancementStep(nn.Module):
    """What enhances the images of a model, one by one; a base of modules that call it.

    Per image: the model's channel order and scale -> RGB [0, 1] -> enhance, in float32
    also under autocast -> back.
    """

    enhancer: BaseEnhancer
    input_max: float = 255.0

    def setup_enhancement(
        self,
        enhancer: BaseEnhancer | Mapping[str, Any] | str,
        frozen: bool = True,
        norm_eval: bool = True,
        input_order: str = 'bgr',
        fill_color: float | Sequence[float] | None = None,
        input_max: float = 255.0,
    ) -> None:
        """Build the enhancer and set how it takes part in training.

        Args:
            enhancer: whatever :func:`build_enhancer` takes.
            frozen: no gradients reach the enhancer, and it stays in eval mode;
                ``False`` trains it with the model's task.
            norm_eval: its BatchNorm layers keep their statistics in training.
            input_order: channel order of the images, ``'bgr'`` or ``'rgb'``. Never
                guessed from ``bgr_to_rgb``: YOLOX and RTMDet leave that off and load
                BGR.
            fill_color: colour on the scale and in the channel order of the images that
                they are padded with, and that stays as it is; ``None`` if they are not
                padded.
            input_max: white of float images; uint8 images are in [0, 255] in any case.

        Raises:
            ConfigError: if an argument is out of range.
        """
        if input_order not in INPUT_ORDERS:
            raise ConfigError(f"input_order must be 'bgr' or 'rgb', got {input_order!r}")
        if not isinstance(input_max, int | float) or not 0 < input_max < math.inf:
            raise ConfigError(f'input_max must be a number above 0, got {input_max!r}')
        self.enhancer = build_enhancer(enhancer)
        self.frozen = frozen
        self.norm_eval = norm_eval
        self.input_order = input_order
        self.input_max = float(input_max)
        self.fill_color = _three(fill_color)
        self.enhancer.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'EnhancementStep':
        """Like ``nn.Module.train``, except for what ``frozen`` and ``norm_eval`` keep."""
        super().train(mode)
        if self.frozen:
            self.enhancer.eval()
        elif self.norm_eval:
            for module in self.enhancer.modules():
                if isinstance(module, _NORMS):
                    module.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'EnhancementStep':
        # `model.half()` and `.double()` leave the enhancer in float32: it divides by a
        # small illumination, and its input is float32 whatever the model becomes.
        enhancer = self._modules.pop('enhancer')
        try:
            super()._apply(fn, recurse)
        finally:
            self._modules['enhancer'] = enhancer
        enhancer._apply(lambda tensor: _keep_dtype(fn(tensor), tensor))  # type: ignore[union-attr]
        return self

    def enhance_image(self, image: Tensor, training: bool, path: str = '') -> Tensor:
        """One image, enhanced.

        Args:
            image: ``(3, H, W)``, uint8, or float in [0, ``input_max``].
            training: whether areas of the fill colour inside the image stay as well.
            path: its file, for errors.

        Returns:
            Same size and scale, float32.

        Raises:
            DataError: if it has not three channels, is of another dtype, or holds NaN
                or infinite values.
        """
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
        white = 255.0 if image.dtype == torch.uint8 else self.input_max
        # Division by a small illumination needs float32, whatever AMP asks for.
        with torch.autocast(image.device.type, enabled=False):
            rgb = host_to_rgb(image.unsqueeze(0), self.input_order, white)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                enhanced = self._run_enhancer(rgb, training)
            return rgb_to_host(enhanced, self.input_order, white)[0]

    def _run_enhancer(self, rgb: Tensor, training: bool) -> Tensor:
        return self.enhancer(rgb)


class EnhancementStage(EnhancementStep):
    """An enhancer as the first module of any model, as in ``nn.Sequential(stage, model)``.

    Stands before the model's own normalisation: images come in as they were loaded.
    Every image is enhanced by itself, so that its result does not depend on its batch.

    Args:
        enhancer: an enhancer, a config dict, or a name such as
            ``'sci/official/medium'``; whatever :func:`build_enhancer` takes.
        input_order: channel order of the images, ``'rgb'`` or ``'bgr'``.
        input_max: white of float images: 255, or 1 for what torchvision's
            ``to_tensor`` gives. Values outside [0, ``input_max``] are clamped.
        fill_color: colour on the scale and in the channel order of the images that
            they are padded with at the bottom and right edge, and that stays as it is;
            in train mode, areas of it inside the image (mosaic) as well.
        frozen: no gradients reach the enhancer, and it stays in eval mode; ``False``
            trains it with the model's task.
        norm_eval: its BatchNorm layers keep their statistics in training.

    Shape:
        - input: ``(N, 3, H, W)``, or a list of ``(3, H, W)`` whose sizes may differ;
          uint8, or float in [0, ``input_max``]
        - output: the same; float on the scale and of the dtype of the input, for uint8
          float32 in [0, 255]. A list gives a list.

    Raises:
        ConfigError: if an argument is out of range.
    """

    def __init__(
        self,
        enhancer: BaseEnhancer | Mapping[str, Any] | str,
        input_order: str = 'rgb',
        input_max: float = 255.0,
        fill_color: float | Sequence[float] | None = None,
        frozen: bool = True,
        norm_eval: bool = True,
    ) -> None:
        super().__init__()
        self.setup_enhancement(enhancer, frozen, norm_eval, input_order, fill_color, input_max)

    def forward(self, images: Images) -> Images:
        """Enhance a batch, or a list of images.

        Raises:
            DataError: if there are no images, or one has not three channels, is neither
                uint8 nor float, or holds NaN or infinite values.
        """
        is_batch = isinstance(images, Tensor)
        if not (images.ndim == 4 if isinstance(images, Tensor) else _is_list(images)):
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise DataError(
                f'expected images of shape (N, 3, H, W) or a list of (3, H, W), got {got}'
            )
        if len(images) == 0:
            raise DataError('the batch is empty: expected at least one image')
        enhanced = [self._enhance(image) for image in images]
        return torch.stack(enhanced) if is_batch else enhanced  # type: ignore[return-value]

    def _enhance(self, image: Tensor) -> Tensor:
        enhanced = self.enhance_image(image, self.training)
        return enhanced.to(image.dtype) if image.is_floating_point() else enhanced

    def extra_repr(self) -> str:
        return (
            f'input_order={self.input_order!r}, input_max={self.input_max:g}, '
            f'fill_color={self.fill_color}, frozen={self.frozen}'
        )


def _keep_dtype(changed: Tensor, tensor: Tensor) -> Tensor:
    same = changed.dtype == tensor.dtype
    return changed if same else tensor.to(changed.device)


def _is_list(images: Any) -> bool:
    return isinstance(images, list | tuple) and all(isinstance(each, Tensor) for each in images)


def _three(color: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if color is None:
        return None
    values = tuple(color) if isinstance(color, Sequence) else (color,) * 3
    if len(values) != 3:
        raise ConfigError(f'fill_color must be one or three values, got {color!r}')
    return tuple(float(value) for value in values)


def _check_image(image: Tensor, path: str) -> None:
    where = f' ({path})' if path else ''
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise DataError(f'expected an image of shape (3, H, W), got {tuple(image.shape)}{where}')
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise DataError(f'expected an image of uint8 or float, got {image.dtype}{where}')
    if image.is_floating_point() and not bool(torch.isfinite(image).all()):
        raise DataError(f'the image holds NaN or infinite values{where}')
