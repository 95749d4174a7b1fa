"""What is mmseg's own: no fill colour unless named, labels padded as ever."""

from typing import Any

import pytest
import torch

from sci_plugins.registry import MODELS
from tests.plain_sci import enhance_host_image, read_weights
from tests.unit.models.data_preprocessors.conftest import sample

pytest.importorskip('mmseg')


def _run(weights: Any, image: torch.Tensor, **settings: Any) -> dict:
    preprocessor = MODELS.build(
        dict(
            type='sci_plugins.EnhancedSegDataPreProcessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
            **settings,
        )
    )
    data = dict(inputs=[image], data_samples=[sample('mmseg', image)])
    return preprocessor(data, True)


def test_the_grey_of_mmdet_s_padding_is_picture(picture: Any, weights: Any) -> None:
    image = picture(20, 24)
    image[:, 8:] = 114
    wanted = enhance_host_image(read_weights(weights), image)
    found = _run(weights, image, size=(20, 24))['inputs'][0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)
    assert (found[:, 10:] - 114).abs().mean() > 10


def test_a_fill_colour_can_be_named(picture: Any, weights: Any) -> None:
    image = picture(20, 24)
    image[:, 8:] = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
    found = _run(weights, image, size=(20, 24), fill_color=(1, 2, 3))['inputs'][0]
    assert torch.equal(found[:, 8:], image[:, 8:].float())
    wanted = enhance_host_image(read_weights(weights), image[:, :8])
    torch.testing.assert_close(found[:, :8], wanted, rtol=0, atol=1e-3)


def test_image_and_label_are_padded_after_enhancing(picture: Any, weights: Any) -> None:
    settings = dict(size=(32, 40), pad_val=7, seg_pad_val=255)
    found = _run(weights, picture(20, 24), **settings)
    (image,), (label,) = found['inputs'], [found['data_samples'][0].gt_sem_seg.data[0]]
    assert image.shape == (3, 32, 40)
    assert (image[:, 20:] == 7).all()
    assert (label[20:] == 255).all()
    assert (label[:20, :24] == 0).all()
