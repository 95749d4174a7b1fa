"""SCI without a hidden layer: the chain 3-3."""

import pytest
import torch
import torch.nn.functional as F

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer


@pytest.mark.parametrize('training', [False, True])
def test_without_a_hidden_layer_one_convolution_is_all(training: bool) -> None:
    enhancer = SCIEnhancer(layers=0, channels=None).double().train(training)
    enhancer.out_conv.weight.data.normal_()
    assert list(enhancer.state_dict()) == ['out_conv.weight', 'out_conv.bias']
    image = torch.rand(2, 3, 9, 7, dtype=torch.float64) * 0.3
    convolved = F.conv2d(image, *enhancer.state_dict().values(), padding=1)
    wanted = torch.clamp(1 / (1 + torch.exp(-convolved)) + image, 1e-4, 1)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert not enhancer.folds(image)
            result = enhancer.illuminate(image)
            torch.testing.assert_close(result.illumination, wanted, rtol=0, atol=1e-12)
            torch.testing.assert_close(enhancer(image), result.image, rtol=0, atol=1e-12)


@pytest.mark.parametrize('layers', [1, 3])
def test_a_block_needs_a_hidden_layer(layers: int) -> None:
    with pytest.raises(ConfigError, match=r'channels .* None only if layers=0'):
        SCIEnhancer(layers=layers, channels=None)
