import pytest
import torch
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS


def build(**options):
    return MODELS.build(dict(type='sci_plugins.SelfCalibrator', **options))


def reference(calibrator, image):
    """The authors' network spelled out: a block is a Sequential, used three times."""
    head = nn.Sequential(calibrator.in_conv, calibrator.in_norm, nn.ReLU())
    block = nn.Sequential(
        calibrator.block_conv1,
        calibrator.block_norm1,
        nn.ReLU(),
        calibrator.block_conv2,
        calibrator.block_norm2,
        nn.ReLU(),
    )
    features = head(image)
    for _ in range(calibrator.layers):
        features = features + block(features)
    return image - nn.Sequential(calibrator.out_conv, nn.Sigmoid())(features)


@pytest.mark.parametrize('layers', [0, 1, 3])
def test_equals_the_authors_network(layers):
    calibrator = build(layers=layers, channels=4).eval()
    image = torch.rand(2, 3, 7, 9)
    got = calibrator(image)
    torch.testing.assert_close(got, reference(calibrator, image))
    assert got.shape == image.shape
    assert got.abs().max() <= 1


def test_default_architecture_and_initialisation():
    calibrator = build()
    assert sum(p.numel() for p in calibrator.parameters()) == 5619
    weights = torch.cat(
        [
            module.weight.flatten()
            for module in calibrator.modules()
            if isinstance(module, nn.Conv2d)
        ]
    )
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.1)
    norms = [m for m in calibrator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3
    assert float(torch.cat([m.weight for m in norms]).mean()) == pytest.approx(1, abs=0.02)
    biases = [p for name, p in calibrator.named_parameters() if name.endswith('bias')]
    assert not torch.cat(biases).any()


@pytest.mark.parametrize('options', [dict(layers=-1), dict(channels=0), dict(layers=1.5)])
def test_refuses_wrong_options(options):
    with pytest.raises(ConfigError, match=f'{next(iter(options))} must be an int'):
        build(**options)


def test_says_what_it_is():
    assert 'layers=3, channels=16' in repr(build())
