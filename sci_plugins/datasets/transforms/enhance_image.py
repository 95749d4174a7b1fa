"""Enhanced before the model: by a step of the data pipeline, or elsewhere, in files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose, TestTimeAug

from sci_plugins.errors import DataError, check_choice
from sci_plugins.models.enhancement_stage import ValueCheck
from sci_plugins.models.enhancers import build_enhancer
from sci_plugins.registry import TRANSFORMS
from sci_plugins.utils.images import read_image


def _turned(image: np.ndarray, order: str) -> np.ndarray:
    """From a channel order to RGB, or back."""
    return image[..., ::-1] if order == 'bgr' else image


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class EnhanceImage(BaseTransform):
    """Enhance an image right after it is loaded, hence before any resize.

    Runs in the data loader's workers, without gradients. The data preprocessor enhances the resized
    image instead; the results differ.

    Modifies ``img``, ``(H, W, 3)``, uint8, or float in [0, ``input_max``]: values a little outside
    are clamped. Shape and dtype stay; uint8 is truncated, as SCI's authors save their results.

    Args:
        enhancer: a config dict, or a name such as ``'sci/official/medium'``.
        input_order: channel order of the loaded image, ``'bgr'`` or ``'rgb'``.
        input_max: white of images that are not uint8; with 65535 they may be uint16.
        check_values: refuse images on another scale, see :class:`ValueCheck`.

    Raises:
        ConfigError: if an argument is out of range.
        DataError: if an image is not ``(H, W, 3)``, has another dtype, or is on another scale.
    """

    enhancer: Any
    input_order: str = 'bgr'
    input_max: float = 255.0
    check_values: bool = True

    def __post_init__(self) -> None:
        check_choice('input_order', self.input_order, ('bgr', 'rgb'))
        self.enhancer = build_enhancer(self.enhancer).requires_grad_(False).eval()
        self._values = ValueCheck(self.input_max)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, path = results['img'], str(results.get('img_path', ''))
        where = f' ({path})' if path else ''
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            shape = getattr(image, 'shape', type(image).__name__)
            raise DataError(f'expected an image of shape (H, W, 3), got {shape}{where}')
        is_known = image.dtype == np.uint8 or np.issubdtype(image.dtype, np.floating)
        if not is_known and not (image.dtype == np.uint16 and self.input_max > 255):
            advice = ': for 16-bit images set input_max=65535' * (image.dtype == np.uint16)
            raise DataError(f'expected a uint8 or float image, got {image.dtype}{where}{advice}')
        rgb = np.array(_turned(image, self.input_order), order='C')
        tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None]
        white = 255 if image.dtype == np.uint8 else self.input_max
        if self.check_values:  # as in training, because images may be augmented here
            self._values.check([tensor], True, [path], 'put EnhanceImage before Normalize')
        with torch.no_grad():
            enhanced = self.enhancer(tensor.float().div(white).clamp(0, 1)).mul(white)[0]
        # astype truncates towards zero, as the authors do.
        array = enhanced.permute(1, 2, 0).numpy().astype(image.dtype)
        results['img'] = np.ascontiguousarray(_turned(array, self.input_order))
        return results

    def __repr__(self) -> str:
        name = type(self.enhancer).__name__
        return f'{type(self).__name__}(enhancer={name}, input_order={self.input_order!r})'


@TRANSFORMS.register_module()
class RawAndEnhanced(TestTimeAug):
    """Two views of each image for a model that looks twice: as it is, and enhanced when loaded.

    For the tests of a model ``sci_plugins.RawEnhancedMerge`` or ``RawEnhancedSelect`` with
    ``views=True``; all steps that follow the loading stand in it::

        test_pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='sci_plugins.RawAndEnhanced', enhancer='adaptive', transforms=[...]),
        ]

    As ``TestTimeAug`` it makes a list of views, the raw one first, out of each entry of the
    results; keys and images as :class:`EnhanceImage` has them.

    Args:
        enhancer, **kwargs: those of :class:`EnhanceImage`, whose errors it has.
        transforms: the steps, configs or callables, that both views pass. They must not draw at
            random: each view would draw for itself.
    """

    def __init__(self, enhancer: Any, transforms: list, **kwargs: Any) -> None:
        step = EnhanceImage(enhancer, **kwargs)
        self.enhancer = step.enhancer
        steps = Compose(transforms)
        super().__init__([[steps, Compose([step, steps])]])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        # Named, since any test-time augmentation gives views.
        return dict(super().transform(results), views=['raw', 'enhanced'])


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)  # it has all files
class ReplaceImage(BaseTransform):
    """Put another file in the place of the loaded image: what another program made of it.

    Required keys are ``img``, ``(H, W, 3)`` uint8, which is modified, and ``img_path``.

    Raises:
        DataError: naming the file, if it cannot be read, or has another size or depth.
    """

    files: Mapping[str, str]  # ``img_path`` -> the file that takes its place
    input_order: str = 'bgr'  # channel order of the loaded image, or ``'rgb'``

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, path = results['img'], self.files[results['img_path']]
        other = read_image(path)
        if other.shape != image.shape or other.dtype != image.dtype:
            wish = f'{image.shape} {image.dtype}, as {results["img_path"]} has'
            raise DataError(f'{path}: expected {wish}, got {other.shape} {other.dtype}')
        results['img'] = np.ascontiguousarray(_turned(other, self.input_order))
        return results
