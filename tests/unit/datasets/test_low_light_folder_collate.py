"""Stacking images of one size, and what happens to those of several."""

from typing import Any

import pytest
import torch
from mmengine.registry import FUNCTIONS

from sci_plugins.datasets.low_light_folder import make_sample, stack_images
from sci_plugins.errors import ConfigError, DataError


def item(height: int, width: int, name: str = 'a.png', **options: Any) -> dict[str, Any]:
    image = torch.arange(3 * height * width).float().view(3, height, width)
    return dict(inputs=image, data_samples=make_sample(name, **options))


def test_one_size() -> None:
    batch = FUNCTIONS.get('sci_plugins.stack_images')([item(4, 6), item(4, 6, 'b.png')])
    assert batch['inputs'].shape == (2, 3, 4, 6)
    assert [sample.img_path for sample in batch['data_samples']] == ['a.png', 'b.png']


def test_several_sizes_are_refused_by_name() -> None:
    with pytest.raises(DataError) as caught:
        stack_images([item(4, 6), item(4, 6, 'b.png'), item(8, 5, 'c.png')])
    message = str(caught.value)
    assert 'a.png (6x4) and c.png (5x8)' in message
    assert 'crop_size' in message
    assert '\n' not in message


def test_several_sizes_are_cropped_around_their_centres() -> None:
    tall, wide = item(8, 5), item(4, 9)
    batch = stack_images([tall, wide], mixed='crop')
    assert batch['inputs'].shape == (2, 3, 4, 5)
    assert torch.equal(batch['inputs'][0], tall['inputs'][:, 2:6])
    assert torch.equal(batch['inputs'][1], wide['inputs'][:, :, 2:7])


def test_references_are_cropped_along() -> None:
    reference = torch.rand(3, 8, 5)
    tall = item(8, 5, reference=reference)
    batch = stack_images([tall, item(4, 9)], mixed='crop')
    assert torch.equal(batch['data_samples'][0].reference, reference[:, 2:6])
    assert torch.equal(tall['data_samples'].reference, reference)
    assert 'reference' not in batch['data_samples'][1]


def test_unknown_choice() -> None:
    with pytest.raises(ConfigError, match=r"mixed must be one of .* got 'pad'"):
        stack_images([item(4, 6)], mixed='pad')
