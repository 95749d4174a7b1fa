"""Three L2 norms with scales of their own, and two more maps."""

from typing import Any

import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS

pytest.importorskip('mmdet')
CHANNELS = (4, 6, 6, 8)


def _build(**settings: Any) -> Any:
    layout = dict(in_channels=CHANNELS, out_channels=(*CHANNELS, 6, 4))
    return MODELS.build(dict(type='sci_plugins.S3FDNeck', **layout, **settings))


def _maps() -> list[torch.Tensor]:
    sizes = (16, 8, 5, 3)
    return [
        torch.randn(2, channels, size, size) for channels, size in zip(CHANNELS, sizes, strict=True)
    ]


def test_shapes_and_scales() -> None:
    maps = _maps()
    neck = _build()
    neck.init_weights()
    outputs = neck(maps)
    assert [each.shape[1] for each in outputs] == [*CHANNELS, 6, 4]
    assert [each.shape[2] for each in outputs] == [16, 8, 5, 3, 2, 1]
    for level, scale in enumerate((10.0, 8.0, 5.0)):
        length = outputs[level].norm(dim=1)
        torch.testing.assert_close(length, torch.full_like(length, scale))
        cosine = torch.cosine_similarity(outputs[level], maps[level])
        torch.testing.assert_close(cosine, torch.ones_like(cosine))
    assert outputs[3] is maps[3]  # conv_fc7 has no norm


def test_as_mmdets_norm() -> None:
    from mmdet.models.necks.ssd_neck import L2Norm

    neck, maps = _build(), _maps()
    theirs = L2Norm(4)
    theirs.weight.data = neck.l2_norms[0].weight.data = torch.rand(4)
    torch.testing.assert_close(neck(maps)[0], theirs(maps[0]))


def test_a_dark_area_has_a_gradient() -> None:
    """All channels 0 behind a ReLU: mmdet's norm gives NaN there."""
    maps = _maps()
    maps[0][:, :, :4] = 0
    maps[0].requires_grad_()
    outputs = _build()(maps)
    assert (outputs[0][:, :, :4] == 0).all()
    outputs[0].square().sum().backward()
    gradient = maps[0].grad
    assert gradient is not None
    assert gradient.isfinite().all()


def test_half_precision_stays() -> None:
    neck = _build().to(torch.bfloat16)
    outputs = neck([each.bfloat16() for each in _maps()])
    assert {each.dtype for each in outputs} == {torch.bfloat16}


def test_the_scales_learn() -> None:
    neck = _build()
    neck(_maps())[1].sum().backward()
    assert neck.l2_norms[1].weight.grad.abs().min() > 0


def test_more_scales_than_maps() -> None:
    with pytest.raises(ConfigError, match=r'at most 4 l2_norm_scales, .* got 5'):
        _build(l2_norm_scales=(1.0,) * 5)
