"""What travels with an image through a loader."""

from pathlib import Path

from mmengine.structures import BaseDataElement
from torch import Tensor


class ImageSample(BaseDataElement):
    """Where an image comes from, and the bright image beside it if there is one.

    Attributes:
        img_path: the image's file.
        skipped: files that could not be read when this one took their place, with
            the cause of each: ``((path, cause), ...)``.
        reference: ``(3, H, W)``, RGB, float in [0, 1]; only in paired data sets.
    """

    img_path: str
    skipped: tuple[tuple[str, str], ...]
    reference: Tensor


def make_sample(
    path: Path, reference: Tensor | None = None, skipped: tuple[tuple[str, str], ...] = ()
) -> ImageSample:
    """An :class:`ImageSample` for the file ``path``."""
    sample = ImageSample(metainfo=dict(img_path=str(path), skipped=skipped))
    if reference is not None:
        sample.reference = reference
    return sample
