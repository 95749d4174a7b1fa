"""The enhancer as a step of the data pipeline, to compare with offline enhancement."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import BaseEnhancer, build_enhancer
from sci_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EnhanceImage(BaseTransform):
    """Enhance an image right after it is loaded, hence before any resize.

    Runs in the data loader's workers, without gradients. The data preprocessor enhances the resized
    image instead; the results differ.

    Required Keys:
        - img: ``(H, W, 3)``, uint8 or float on the [0, 255] scale

    Modified Keys:
        - img: same shape and dtype; uint8 is truncated, as SCI's authors save their results

    Args:
        enhancer: a config dict, or a name such as ``'sci/official/medium'``.
        input_order: channel order of the loaded image, ``'bgr'`` or ``'rgb'``.

    Raises:
        ConfigError: if an argument is out of range.
        DataError: if an image is not ``(H, W, 3)``, has another dtype, or is not finite.
    """

    def __init__(
        self, enhancer: BaseEnhancer | Mapping[str, Any] | str, input_order: str = 'bgr'
    ) -> None:
        if input_order not in ('bgr', 'rgb'):
            raise ConfigError(f"input_order must be 'bgr' or 'rgb', got {input_order!r}")
        self.enhancer = build_enhancer(enhancer).requires_grad_(False).eval()
        self.input_order = input_order

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image = results['img']
        _check_image(image, results.get('img_path', ''))
        rgb = image[..., ::-1] if self.input_order == 'bgr' else image
        tensor = torch.from_numpy(np.array(rgb, order='C')).permute(2, 0, 1)[None]
        with torch.no_grad():
            enhanced = self.enhancer(tensor.float().div(255).clamp(0, 1)).mul(255)[0]
        # astype truncates towards zero, as the authors do.
        array = enhanced.permute(1, 2, 0).numpy().astype(image.dtype)
        results['img'] = np.ascontiguousarray(
            array[..., ::-1] if self.input_order == 'bgr' else array
        )
        return results

    def __repr__(self) -> str:
        name = type(self.enhancer).__name__
        return f'{type(self).__name__}(enhancer={name}, input_order={self.input_order!r})'


def _check_image(image: Any, path: str) -> None:
    where = f' ({path})' if path else ''
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        shape = getattr(image, 'shape', type(image).__name__)
        raise DataError(f'expected an image of shape (H, W, 3), got {shape}{where}')
    if image.dtype == np.uint8:
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise DataError(f'expected a uint8 or float image, got {image.dtype}{where}')
    if not np.isfinite(image).all():
        raise DataError(f'expected a finite image, got NaN or infinity{where}')
