"""S3FD piece by piece: VGG-16 and its receptive fields (the paper's table 1), neck, matching."""

from typing import Any

import pytest
import torch
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.detectors.s3fd import compensate_matches, max_out_background
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
    with pytest.raises(ConfigError, match='fc6_dilation must be at least 1, got 0'):
        MODELS.build(dict(type='sci_plugins.S3FDVGG', fc6_dilation=0))


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


def test_by_hand() -> None:
    scores = torch.tensor([[7.0, 1.0, 3.0, 2.0], [-1.0, -5.0, -6.0, -4.0]])
    found = max_out_background(scores[:, :, None, None])
    assert found.shape == (2, 2, 1, 1)
    assert found[:, :, 0, 0].tolist() == [[7.0, 3.0], [-1.0, -4.0]]


def test_several_classes() -> None:
    scores = torch.tensor([1.0, 9.0, 3.0, 2.0]).view(1, 4, 1, 1)
    assert max_out_background(scores, classes=2).flatten().tolist() == [1.0, 9.0, 3.0]


def test_one_background_is_the_identity() -> None:
    scores = torch.randn(2, 2, 3, 5)
    assert max_out_background(scores).equal(scores)


def test_the_largest_alone_learns() -> None:
    scores = torch.tensor([7.0, 1.0, 3.0, 2.0]).view(1, 4, 1, 1).requires_grad_()
    max_out_background(scores).sum().backward()
    assert scores.grad is not None
    assert scores.grad.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


def test_gradcheck() -> None:
    # Far from a tie, where the largest changes.
    scores = torch.tensor([0.3, 1.0, 3.0, 2.0, -0.3, 4.0, 1.0, 2.0], dtype=torch.float64)
    scores = scores.view(2, 4, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(max_out_background, (scores,))


def test_matching_by_hand() -> None:
    """Six anchors of two faces are three a face: the second face takes two more."""
    overlaps = torch.tensor(
        [[0.9, 0.8, 0.7, 0.6, 0.5, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.3, 0.4, 0.2, 0.15]]
    )
    matches = torch.tensor([1, 1, 1, 1, 1, 2, 0, 0])
    found = compensate_matches(overlaps, matches)
    # Anchor 4 overlaps it by 0.3, but belongs to the first face.
    assert found.tolist() == [1, 1, 1, 1, 1, 2, 2, 2]


def test_the_best_are_taken_and_no_more() -> None:
    overlaps = torch.tensor([[0.9] * 4 + [0.0] * 4, [0.0] * 4 + [0.12, 0.3, 0.2, 0.25]])
    matches = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 1, 1, 0, 2, 0, 2]
    assert compensate_matches(overlaps, matches, top_n=3).tolist()[4:] == [0, 2, 2, 2]
    assert compensate_matches(overlaps, matches, top_n=9).tolist()[4:] == [2, 2, 2, 2]


def test_the_limit_is_exclusive() -> None:
    overlaps = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, 0.26]])
    matches = torch.tensor([1, 0, 0])
    found = compensate_matches(overlaps, matches, min_iou=0.25, top_n=2)
    assert found.tolist() == [1, 0, 2]


def test_an_average_is_rounded_up() -> None:
    """Three anchors of two faces: 1.5, so that a face with one gets a second."""
    overlaps = torch.tensor([[0.9, 0.9, 0.0, 0.0], [0.0, 0.0, 0.9, 0.2]])
    matches = torch.tensor([1, 1, 2, 0])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 2, 2]


def test_a_face_at_the_average_gets_nothing() -> None:
    overlaps = torch.tensor([[0.9, 0.3, 0.0], [0.0, 0.3, 0.9]])
    matches = torch.tensor([1, 0, 2])
    assert compensate_matches(overlaps, matches) is matches


def test_two_want_the_same() -> None:
    """It goes to the face that it overlaps most, of equals to the first."""
    overlaps = torch.tensor(
        [[0.9] * 3 + [0.0] * 3, [0] * 3 + [0.2, 0.3, 0.2], [0] * 3 + [0.3, 0.2, 0.2]]
    )
    matches = torch.tensor([1, 1, 1, 0, 0, 0])
    found = compensate_matches(overlaps, matches, top_n=3)
    assert found.tolist() == [1, 1, 1, 3, 2, 2]


def test_what_takes_no_part_stays_out() -> None:
    overlaps = torch.tensor([[0.9, 0.9, 0.9, -1.0, -1.0], [0.0, 0.0, 0.0, -1.0, 0.2]])
    matches = torch.tensor([1, 1, 1, -1, -1])
    # The last one is only undecided: stage one put it between its two thresholds.
    assert compensate_matches(overlaps, matches, top_n=2).tolist() == [1, 1, 1, -1, 2]


def test_a_face_keeps_a_best_anchor_that_hardly_touches_it() -> None:
    overlaps = torch.tensor([[0.9, 0.9, 0.9, 0.0], [0.0, 0.0, 0.0, 0.05]])
    matches = torch.tensor([1, 1, 1, 2])
    assert compensate_matches(overlaps, matches).tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(('faces', 'anchors'), [(0, 4), (3, 0), (0, 0)])
def test_nothing_to_match(faces: int, anchors: int) -> None:
    matches = torch.zeros(anchors, dtype=torch.long)
    found = compensate_matches(torch.zeros(faces, anchors), matches)
    assert found.equal(matches)


def test_input_stays(device: torch.device) -> None:
    overlaps = torch.rand(5, 60, device=device)
    matches = torch.tensor([1, 1, 1, 1, 1] + [0] * 55, device=device)
    before = overlaps.clone(), matches.clone()
    found = compensate_matches(overlaps, matches, top_n=4)
    assert (overlaps.equal(before[0]), matches.equal(before[1])) == (True, True)
    assert (found.device, found.dtype) == (matches.device, matches.dtype)
    assert found.bincount().tolist()[1] == 5
    assert min(found.bincount(minlength=6).tolist()) >= 1
