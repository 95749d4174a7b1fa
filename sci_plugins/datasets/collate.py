"""From single images to a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import FUNCTIONS

_MIXED = ('refuse', 'crop')


@FUNCTIONS.register_module()
def stack_images(batch: Sequence[dict[str, Any]], mixed: str = 'refuse') -> dict:
    """Stack the images of a batch; for a loader's ``collate_fn``.

    Args:
        batch: items of our data sets: ``inputs``, RGB ``(3, H, W)``, and
            ``data_samples``.
        mixed: what to do with images of several sizes: ``'refuse'`` them, or
            ``'crop'`` each around its centre to the largest height and the largest
            width that all of them have.

    Returns:
        ``dict(inputs=(N, 3, H, W), data_samples=list of N)``.

    Raises:
        ConfigError: if ``mixed`` is neither.
        DataError: if sizes differ and are to be refused; names two of the images.
    """
    if mixed not in _MIXED:
        raise ConfigError(f'stack_images: mixed must be one of {_MIXED}, got {mixed!r}')
    images = [item['inputs'] for item in batch]
    samples = [item['data_samples'] for item in batch]
    if len({image.shape for image in images}) > 1:
        if mixed == 'refuse':
            raise DataError(_describe_sizes(images, samples))
        height = min(image.shape[-2] for image in images)
        width = min(image.shape[-1] for image in images)
        images = [_crop_center(image, height, width) for image in images]
        samples = [_crop_reference(sample, height, width) for sample in samples]
    return dict(inputs=torch.stack(images), data_samples=samples)


def _describe_sizes(images: list[Tensor], samples: list[Any]) -> str:
    other = next(i for i, image in enumerate(images) if image.shape != images[0].shape)
    first, second = (
        f'{samples[i].img_path} ({images[i].shape[-1]}x{images[i].shape[-2]})'
        for i in (0, other)
    )
    return (
        f'a batch needs images of one size, got {first} and {second}: set the '
        "data set's crop_size, batch_size=1, or collate_fn.mixed='crop'"
    )


def _crop_center(image: Tensor, height: int, width: int) -> Tensor:
    top = (image.shape[-2] - height) // 2
    left = (image.shape[-1] - width) // 2
    return image[..., top : top + height, left : left + width]


def _crop_reference(sample: Any, height: int, width: int) -> Any:
    if 'reference' not in sample:
        return sample
    sample = sample.clone()
    sample.reference = _crop_center(sample.reference, height, width)
    return sample
