"""Labelled images in the dark: seeded by number, labels untouched, what is dark stays."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from sci_plugins.datasets.darkened_crops import Batch, Darkness, LabelledImages
from sci_plugins.errors import DataError
from sci_plugins.functional.low_light import darken

PLAIN = Darkness(
    untouched=0, by_day=0, gain=(0.1, 0.1), noisy=0, shot=0, uneven=0, balanced=0, compressed=0,
    resized=0,
)  # fmt: skip


class _Set:
    """Images of their own sizes, jittered by all three kinds of random numbers."""

    def __init__(self, low: int = 90, **changes: Any) -> None:
        self.low, self.changes = low, changes

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict:
        jitter = random.randrange(9) + np.random.randint(9) + int(torch.randint(9, ()))
        image = torch.full((3, 40 + index, 60), self.low + jitter, dtype=torch.uint8)
        image[0] += 20  # blue, in BGR
        sample = BaseDataElement(metainfo=dict(img_path=f'{index}.png'))
        sample.gt_instances = InstanceData(labels=torch.tensor([index]))
        return dict(inputs=image, data_samples=sample) | self.changes


def _images(dataset: Any = None, **settings: Any) -> LabelledImages:
    return LabelledImages(dataset or _Set(), [0, 2, 4], **settings)


def _values(parts: list[Batch]) -> list[torch.Tensor]:
    return [each for part in parts for each in part[:2]]


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    images, again, other = (_images(seed=seed) for seed in (1, 1, 2))
    again.parts(0)
    torch.rand(3), np.random.rand(3), random.random()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = images.parts(7)
    torch.testing.assert_close(_values(first), _values(again.parts(7)), rtol=0, atol=0)
    assert [float(part.dark.sum()) for part in first] != [
        float(part.dark.sum()) for part in other.parts(7)
    ]
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_labels_and_sizes_are_the_images() -> None:
    parts = _images(batch_size=12).parts(0)
    for part in parts:
        assert part.labels is not None
        index = int(part.labels[0].gt_instances.labels)
        assert part.bright.shape == part.dark.shape == (1, 3, 40 + index, 60)
    heights = {part.bright.shape[2] for part in parts}
    assert heights == {40, 42, 44}  # only those that were named


@pytest.mark.parametrize('resized', [0, 1])
def test_dark_is_bright_with_less_light(resized: int) -> None:
    """And RGB; of an even image a resize changes nothing."""
    darkness = Darkness(**(vars(PLAIN) | dict(resized=resized)))
    for part in _images(darkness=darkness).parts(0):
        pixels = (part.bright[0] * 255).round().byte().permute(1, 2, 0).numpy()
        expected = torch.from_numpy(darken(pixels, 0.1)).permute(2, 0, 1)[None].float() / 255
        torch.testing.assert_close(part.dark, expected, rtol=0, atol=1e-6)
        assert float(part.dark.mean()) < 0.5 * float(part.bright.mean())
        assert float(part.bright[:, 2].mean()) > float(part.bright[:, 0].mean())


def test_what_is_dark_stays() -> None:
    for part in _images(_Set(low=4), darkness=PLAIN).parts(0):
        torch.testing.assert_close(part.bright, part.dark, rtol=0, atol=0)


def test_float_images_are_clamped() -> None:
    """As colour augmentation leaves them."""
    image = torch.full((3, 8, 8), 100.0)
    image[:, 0], image[:, 1] = -3.0, 260.0
    part = _images(_Set(inputs=image), darkness=PLAIN).parts(0)[0]
    assert part.bright[0, 0, :3, 0].tolist() == pytest.approx([0, 1, 100 / 255])


def _without_labels() -> BaseDataElement:
    sample = BaseDataElement()
    sample.gt_instances = InstanceData()
    return sample


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(data_samples=None), 'gives images without labels'),
        (dict(data_samples=BaseDataElement()), 'gives images without labels'),
        (dict(data_samples=_without_labels()), 'gives images without labels'),
        (dict(inputs=torch.zeros(1, 8, 8)), r'colour images of shape \(3, H, W\)'),
        (dict(inputs=[torch.zeros(3, 8, 8)]), r'colour images of shape \(3, H, W\)'),
        (dict(inputs=torch.full((3, 8, 8), float('nan'))), 'holds NaN or infinite'),
        (dict(inputs=torch.randn(3, 8, 8) * 90 - 90), r'must be in \[0, 255\]'),
    ],
)
def test_mistakes(changes: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        _images(_Set(**changes)).parts(0)


def test_an_image_that_cannot_be_loaded() -> None:
    """Pipelines raise all kinds of errors; what names the file already stays."""

    class Broken(_Set):
        error: Exception = AssertionError('failed to load image: a.jpg')

        def __getitem__(self, index: int) -> dict:
            raise self.error

    with pytest.raises(DataError) as caught:
        _images(Broken()).parts(0)
    assert 'cannot be loaded (AssertionError: failed to load image: a.jpg)' in str(caught.value)
    Broken.error = FileNotFoundError('no a.jpg')
    with pytest.raises(FileNotFoundError, match=r'no a\.jpg'):
        _images(Broken()).parts(0)


def test_label_maps_are_labels() -> None:
    sample = BaseDataElement()
    sample.gt_sem_seg = PixelData()
    assert _images(_Set(data_samples=sample)).parts(0)[0].labels == [sample]
