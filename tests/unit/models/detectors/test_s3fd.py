"""S3FD's VGG-16: layers, sizes, and the receptive fields of the paper's table 1."""

from typing import Any

import pytest
import torch
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS

pytest.importorskip('mmdet')
#: Strides of the outputs, and receptive fields of conv3_3, conv4_3, conv5_3, conv_fc7
#: with the 3x3 convolution that detects on each.
STRIDES, FIELDS = (4, 8, 16, 32), (48, 108, 228, 340)


@pytest.fixture(scope='module')
def backbone() -> Any:
    return MODELS.build(dict(type='sci_plugins.S3FDVGG'))


def test_has_the_layer_names_of_mmdets_checkpoint(backbone: Any) -> None:
    """Those of SSD300, that `vgg16_caffe` is loaded into; the shapes fit as well."""
    from mmdet.models.backbones import SSDVGG

    theirs = SSDVGG(depth=16, with_last_pool=False, out_indices=(3, 4)).state_dict()
    ours = backbone.state_dict()
    assert len(ours) == 2 * 15
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }
    assert 'features.31.weight' in ours
    assert backbone.out_feature_indices[-1] == len(backbone.features) - 1  # conv_fc7


def test_number_of_parameters(backbone: Any) -> None:
    vgg = 14_714_688  # 13 convolutions
    fc6, fc7 = 512 * 1024 * 9 + 1024, 1024 * 1024 + 1024
    assert sum(value.numel() for value in backbone.parameters()) == vgg + fc6 + fc7


def _fields(layers: nn.Sequential) -> dict[int, tuple[int, int]]:
    """Stride and receptive field behind each layer, by arithmetic."""
    stride, field, found = 1, 1, {}
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, step, dilation = (
                value if isinstance(value, int) else value[0]
                for value in (layer.kernel_size, layer.stride, layer.dilation)
            )
            field += (kernel - 1) * dilation * stride
            stride *= step
        found[index] = (stride, field)
    return found


def test_receptive_fields_of_table_1(backbone: Any) -> None:
    fields = _fields(backbone.features)
    found = [fields[index] for index in backbone.out_feature_indices]
    assert tuple(stride for stride, _ in found) == STRIDES
    assert tuple(field + 2 * stride for stride, field in found) == FIELDS


def test_dilated_as_the_re_implementations() -> None:
    wide = MODELS.build(dict(type='sci_plugins.S3FDVGG', fc6_dilation=3))
    conv = wide.features[31]
    assert (conv.dilation, conv.padding) == ((3, 3), (3, 3))


@pytest.mark.parametrize('size', [(64, 96), (37, 65)])
def test_shapes(backbone: Any, size: tuple[int, int]) -> None:
    """Rounded up at each halving, whatever the size."""
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, *size))
    for level, stride in enumerate(STRIDES):
        wanted = [-(-side // stride) for side in size]
        assert list(maps[level].shape[2:]) == wanted
    assert [each.shape[1] for each in maps] == [256, 512, 512, 1024]


def test_the_output_stands_on_its_place(backbone: Any) -> None:
    """A spot in the image is seen most at the cells above it, on every level."""
    image = torch.zeros(1, 3, 256, 256)
    with torch.no_grad():
        before = backbone(image)
        image[:, :, 160:176, 64:80] = 200
        after = backbone(image)
    for level, stride in enumerate(STRIDES):
        change = (after[level] - before[level]).abs().sum(dim=(0, 1))
        rows, columns = change.sum(1), change.sum(0)
        places = [
            (weights * (torch.arange(len(weights)) + 0.5)).sum() / weights.sum() * stride
            for weights in (rows, columns)
        ]
        assert abs(float(places[0]) - 168) < max(stride, 8)
        assert abs(float(places[1]) - 72) < max(stride, 8)


def test_bad_dilation() -> None:
    with pytest.raises(ConfigError, match='fc6_dilation must be above 0, got 0'):
        MODELS.build(dict(type='sci_plugins.S3FDVGG', fc6_dilation=0))
