"""The colour that mmdet's pipelines pad with stays as it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sci_plugins.registry import MODELS
from tests.plain_sci import enhance_host_image, read_weights
from tests.unit.models.data_preprocessors.conftest import sample

PhotoMetricDistortion = pytest.importorskip('mmdet.datasets.transforms').PhotoMetricDistortion


@pytest.fixture
def enhance(weights: Any) -> Callable[..., Tensor]:
    """Sends one image through the preprocessor."""

    def call(image: Tensor, training: bool = False, **settings: Any) -> Tensor:
        preprocessor = MODELS.build(
            dict(
                type='sci_plugins.EnhancedDetDataPreprocessor',
                enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
                **settings,
            )
        )
        data = dict(inputs=[image], data_samples=[sample('mmdet', image)])
        return preprocessor(data, training)['inputs'][0]

    return call


def padded(image: Tensor, color: Any = 114) -> Tensor:
    whole = torch.empty(3, 32, 32, dtype=image.dtype)
    whole[:] = torch.as_tensor(color, dtype=image.dtype).view(-1, 1, 1)
    whole[:, : image.shape[1], : image.shape[2]] = image
    return whole


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
@pytest.mark.parametrize('size', [(32, 20), (19, 32), (21, 22)])
def test_padded_image_is_the_enhanced_image_padded(
    enhance: Any, picture: Any, weights: Any, training: bool, dtype: Any, size: Any
) -> None:
    image = picture(*size).to(dtype)
    output = enhance(padded(image), training)
    wanted = padded(enhance_host_image(read_weights(weights), image))
    torch.testing.assert_close(output, wanted, rtol=0, atol=1e-3)
    assert (output[:, size[0] :] == 114).all()
    assert (output[:, :, size[1] :] == 114).all()


def test_without_a_fill_colour_the_padding_is_enhanced_too(enhance: Any, picture: Any) -> None:
    output = enhance(padded(picture(20, 32)), fill_color=None)
    assert (output[:, 22:-4] - 114).abs().max() > 50


def test_other_fill_colour(enhance: Any, picture: Any) -> None:
    image = padded(picture(20, 32), (104, 117, 123))
    output = enhance(image, fill_color=(104, 117, 123))
    assert torch.equal(output[:, 20:], image[:, 20:].float())
    assert not torch.allclose(enhance(image)[:, 20:], image[:, 20:].float(), atol=10)


def test_fill_inside_the_image_stays_in_training_only(enhance: Any, picture: Any) -> None:
    image = picture(32, 32)
    image[:, 6:20, 5:22] = 114
    assert (enhance(image, training=True)[:, 6:20, 5:22] == 114).all()
    output = enhance(image, training=False)[:, 9:17, 8:19]
    assert (output - 114).abs().max() > 50


@pytest.mark.parametrize(('white', 'lamp'), [(127, 250), (8, 8), (0, 250), (0, 0)])
def test_colour_augmentation_passes(white: int, lamp: int) -> None:
    """PhotoMetricDistortion leaves [0, 255]; of dark photographs the mean is negative."""
    np.random.seed(0)
    augment = PhotoMetricDistortion()
    kind = 'sci_plugins.EnhancedDetDataPreprocessor'
    preprocessor = MODELS.build(dict(type=kind, enhancer='gamma'))
    photo = np.random.randint(0, white + 1, (24, 24, 3), dtype=np.uint8)
    photo[:2] = lamp
    images = []
    for _ in range(400):
        images.append(torch.from_numpy(augment(dict(img=photo))['img'].copy()).permute(2, 0, 1))
        preprocessor(dict(inputs=images[-1:]), True)
    assert min(image.min() for image in images) < -30
    if lamp > white:
        assert max(image.max() for image in images) > 350
    else:
        assert min(image.mean() for image in images) < -20


def test_gradients_come_from_the_picture_only(weights: Any, picture: Any) -> None:
    preprocessor = MODELS.build(
        dict(
            type='sci_plugins.EnhancedDetDataPreprocessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
            frozen=False,
        )
    ).train()
    image = padded(picture(20, 32))
    output = preprocessor(dict(inputs=[image], data_samples=None), True)['inputs'][0]
    output[:, 20:].sum().backward(retain_graph=True)
    bias = preprocessor.enhancer.out_conv.bias
    assert bias.grad is None or not bias.grad.any()
    output[:, :20].sum().backward()
    assert bias.grad.abs().min() > 0


def test_host_augments_after_enhancing(enhance: Any, picture: Any, weights: Any) -> None:
    image = picture(20, 24)
    output = enhance(
        image,
        training=True,
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(32, 32), img_pad_value=7)],
    )
    wanted = padded(enhance_host_image(read_weights(weights), image), 7)
    torch.testing.assert_close(output, wanted, rtol=0, atol=1e-3)
