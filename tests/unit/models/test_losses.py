"""The losses as modules of a config."""

import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.functional.losses import exposure_loss, fidelity_loss, smoothness_loss
from sci_plugins.registry import MODELS


def build(**options):
    return MODELS.build(dict(type='sci_plugins.SCILoss', **options))


@pytest.fixture
def pair():
    return torch.rand(2, 3, 6, 8) * 0.9 + 0.05, torch.rand(2, 3, 6, 8)


def test_default_weights_are_the_authors(pair):
    losses = build()(*pair)
    assert set(losses) == {'fidelity', 'smoothness'}
    torch.testing.assert_close(losses['fidelity'], 1.5 * fidelity_loss(*pair))
    torch.testing.assert_close(losses['smoothness'], smoothness_loss(*pair))


def test_options_reach_the_loss(pair):
    options = dict(sigma=0.1, color='corrected')
    losses = build(fidelity_weight=0.5, smoothness_weight=2.0, **options)(*pair)
    torch.testing.assert_close(losses['fidelity'], 0.5 * fidelity_loss(*pair))
    torch.testing.assert_close(losses['smoothness'], 2 * smoothness_loss(*pair, 0.1, 'corrected'))


def test_half_precision_is_computed_in_float32_under_autocast(pair):
    half = [tensor.bfloat16() for tensor in pair]
    want = build()(*(tensor.float() for tensor in half))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = build()(*half)
    for name, value in got.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, want[name])


def test_autocast_does_not_lower_the_precision_of_float32(pair):
    want = build()(*pair)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = build()(*pair)
    torch.testing.assert_close(got, want)


def test_float64_stays(pair):
    losses = build()(*(tensor.double() for tensor in pair))
    assert {value.dtype for value in losses.values()} == {torch.float64}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(fidelity_weight=-1), 'fidelity_weight must be at least 0, got -1'),
        (dict(smoothness_weight=-2), 'smoothness_weight must be at least 0'),
        (dict(sigma=0), 'sigma must be above 0, got 0'),
        (dict(color='lab'), 'color must be one of'),
    ],
)
def test_refuses_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_says_what_it_is():
    assert "sigma=10.0, color='official'" in repr(build())
    assert 'weight=1.5' in repr(build())


def test_each_loss_alone(pair):
    options = dict(sigma=0.3, color='corrected')
    fidelity = MODELS.build(dict(type='sci_plugins.FidelityLoss', weight=0.5))
    smoothness = MODELS.build(dict(type='sci_plugins.SmoothnessLoss', weight=2.0, **options))
    both = build(fidelity_weight=0.5, smoothness_weight=2.0, **options)(*pair)
    assert float(fidelity(*pair)) == pytest.approx(float(both['fidelity'])) != 0
    assert float(smoothness(*pair)) == pytest.approx(float(both['smoothness'])) != 0
    torch.testing.assert_close(fidelity(*pair), 0.5 * fidelity_loss(*pair))
    torch.testing.assert_close(smoothness(*pair), 2 * smoothness_loss(*pair, **options))


@pytest.mark.parametrize('name', ['FidelityLoss', 'SmoothnessLoss'])
def test_each_alone_in_half_precision(pair, name):
    loss = MODELS.build(dict(type=f'sci_plugins.{name}'))
    half = [tensor.bfloat16() for tensor in pair]
    want = loss(*(tensor.float() for tensor in half))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = loss(*half)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('FidelityLoss', dict(weight=-1), 'FidelityLoss: weight must be at least 0'),
        ('SmoothnessLoss', dict(weight=-1), 'SmoothnessLoss: weight must be at least 0'),
        ('SmoothnessLoss', dict(sigma=0), 'sigma must be above 0, got 0'),
        ('SmoothnessLoss', dict(color='lab'), 'color must be one of'),
    ],
)
def test_each_alone_refuses_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type=f'sci_plugins.{name}', **options))


def test_is_the_weighted_function() -> None:
    image, enhanced = torch.rand(2, 3, 5, 5) * 0.1, torch.rand(2, 3, 5, 5)
    loss = MODELS.build(dict(type='sci_plugins.ExposureLoss', target=0.6, weight=7.0))
    wanted = 7 * exposure_loss(enhanced, image, 0.6)
    assert wanted > 0
    torch.testing.assert_close(loss(enhanced, image), wanted)
    assert 'target=0.6' in repr(loss)


@pytest.mark.parametrize(
    ('argument', 'value'), [('target', 0), ('target', 1.0), ('weight', 0), ('weight', -1)]
)
def test_arguments_out_of_range(argument: str, value: float) -> None:
    from sci_plugins.models.losses import ExposureLoss

    with pytest.raises(ConfigError, match=argument):
        ExposureLoss(**{argument: value})
