"""Deformable convolution against grid_sample and by hand; absent ops; number types."""

import shlex
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sci_plugins.compat.ops import INSTALL, MissingOpError, as_computed
from sci_plugins.errors import SciPluginsError

# stride, padding, dilation, groups, deform_groups; pairs are (vertical, horizontal)
CASES: dict[str, tuple[Any, Any, Any, int, int]] = {
    'plain': (1, 0, 1, 1, 1),
    'stride': ((2, 1), 0, 1, 1, 1),
    'padding': (1, (2, 1), 1, 1, 1),
    'dilation': (1, 0, (1, 3), 1, 1),
    'groups': (1, 1, 1, 2, 1),
    'deform groups': (1, 1, 1, 1, 2),
    'all': ((2, 1), (1, 2), (2, 1), 2, 2),
}
KERNEL = (3, 2)
IMAGE = (3, 4, 8, 7)


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def output_size(case: tuple[Any, Any, Any, int, int]) -> list[int]:
    return [
        (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for side, stride, pad, dilation, kernel in zip(
            IMAGE[2:], *map(pair, case[:3]), KERNEL, strict=True
        )
    ]


def sample(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear samples ``(N, C, h, w)`` at ``y``, ``x`` ``(N, h, w)``; 0 outside."""
    height, width = image.shape[2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(image, grid, padding_mode='zeros', align_corners=True)


def slow_deform_conv(
    image: Tensor,
    offset: Tensor,
    weight: Tensor,
    case: tuple[Any, Any, Any, int, int],
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """The definition: a weighted sum of samples at the kernel's moved positions."""
    (stride_y, stride_x), (pad_y, pad_x), (step_y, step_x) = map(pair, case[:3])
    groups, deform_groups = case[3:]
    rows, columns = weight.shape[2:]
    height, width = offset.shape[2:]
    moves = offset.unflatten(1, (deform_groups, rows, columns, 2))
    factors = mask.unflatten(1, (deform_groups, rows, columns)) if mask is not None else None
    base_y = torch.arange(height)[:, None] * stride_y - pad_y
    base_x = torch.arange(width)[None, :] * stride_x - pad_x
    patches = []
    for part, channels in enumerate(image.chunk(deform_groups, dim=1)):
        for i in range(rows):
            for j in range(columns):
                move = moves[:, part, i, j]
                patch = sample(
                    channels, base_y + i * step_y + move[:, 0], base_x + j * step_x + move[:, 1]
                )
                if factors is not None:
                    patch = patch * factors[:, part, i, j, None]
                patches.append(patch)
    stacked = torch.stack(patches, dim=2).unflatten(2, (deform_groups, -1))
    # (N, channels of a part, parts, positions, h, w) -> (N, C, positions, h, w)
    stacked = stacked.transpose(1, 2).flatten(1, 2)
    outputs = [
        torch.einsum('nckhw,ock->nohw', patch, kernel.flatten(2))
        for patch, kernel in zip(stacked.chunk(groups, dim=1), weight.chunk(groups), strict=True)
    ]
    output = torch.cat(outputs, dim=1)
    return output if bias is None else output + bias[:, None, None]


def operands(case: tuple[Any, Any, Any, int, int]) -> dict[str, Tensor]:
    """Random float64 leaves that want a gradient."""
    positions = case[4] * KERNEL[0] * KERNEL[1]
    size = output_size(case)
    shapes = dict(
        image=IMAGE,
        offset=(IMAGE[0], 2 * positions, *size),
        weight=(6, IMAGE[1] // case[3], *KERNEL),
        mask=(IMAGE[0], positions, *size),
        bias=(6,),
    )
    made = {name: torch.randn(shape).double() for name, shape in shapes.items()}
    made['mask'] = made['mask'].sigmoid()
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def assert_same_with_gradients(actual: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected)
    cotangent = torch.randn_like(expected)
    gradients = torch.autograd.grad(actual, leaves, cotangent)
    references = torch.autograd.grad(expected, leaves, cotangent)
    for gradient, reference in zip(gradients, references, strict=True):
        assert reference.abs().max() > 0
        torch.testing.assert_close(gradient, reference)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_plain_against_definition(ops: ModuleType, case: Any) -> None:
    made = operands(case)
    leaves = [made[name] for name in ('image', 'offset', 'weight')]
    expected = slow_deform_conv(*leaves, case)
    assert_same_with_gradients(ops.deform_conv2d(*leaves, *case), expected, leaves)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_modulated_against_definition(ops: ModuleType, case: Any, with_bias: bool) -> None:
    made = operands(case)
    bias = made['bias'] if with_bias else None
    image, offset, mask, weight = (made[name] for name in ('image', 'offset', 'mask', 'weight'))
    expected = slow_deform_conv(image, offset, weight, case, mask, bias)
    actual = ops.modulated_deform_conv2d(image, offset, mask, weight, bias, *case)
    leaves = [image, offset, mask, weight, *([bias] if with_bias else [])]
    assert_same_with_gradients(actual, expected, leaves)


@pytest.mark.parametrize('modulated', [False, True])
def test_gradcheck(ops: ModuleType, modulated: bool) -> None:
    def leaf(*shape: int, low: float = -1, high: float = 1) -> Tensor:
        return torch.empty(shape).double().uniform_(low, high).requires_grad_()

    image, weight = leaf(1, 2, 4, 5), leaf(2, 2, 2, 2)
    # Bilinear weights have a kink at whole pixels: keep the samples off them.
    offset = leaf(1, 8, 3, 4, low=0.2, high=0.7)
    if modulated:
        mask, bias = leaf(1, 4, 3, 4, low=0.2, high=0.8), leaf(2)
        inputs = (image, offset, mask, weight, bias)
        assert torch.autograd.gradcheck(ops.modulated_deform_conv2d, inputs)
    else:
        inputs = (image, offset, weight)
        assert torch.autograd.gradcheck(ops.deform_conv2d, inputs)


@pytest.mark.parametrize('modulated', [False, True])
def test_against_torchvision(ops: ModuleType, device: torch.device, modulated: bool) -> None:
    from torchvision.ops import deform_conv2d

    case = CASES['all']
    made = {name: leaf.detach().float().to(device) for name, leaf in operands(case).items()}
    image, offset, weight = made['image'], made['offset'], made['weight']
    if modulated:
        mask, bias = made['mask'], made['bias']
        actual = ops.modulated_deform_conv2d(image, offset, mask, weight, bias, *case)
    else:
        mask = bias = None
        actual = ops.deform_conv2d(image, offset, weight, *case)
    expected = deform_conv2d(image, offset, weight, bias, *case[:3], mask)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize('module', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
def test_untrained_module_is_a_convolution(ops: ModuleType, module: str) -> None:
    # Offsets start at 0 and, modulated, the mask at sigmoid(0) = 1/2.
    layer = getattr(ops, module)(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    image = torch.randn(IMAGE)
    expected = F.conv2d(image, layer.weight, None, 2, 1, 2, 2)
    if module.startswith('Modulated'):
        expected = expected / 2
    torch.testing.assert_close(layer(image), expected)


@pytest.mark.parametrize('module', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_trains(ops: ModuleType, module: str, dtype: torch.dtype) -> None:
    layer = getattr(ops, module)(4, 6, 3, padding=1)
    image = torch.randn(IMAGE)
    expected = layer(image)
    with torch.autocast('cpu', dtype=dtype):
        output = layer(image)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0.03, atol=0.03)
    output.float().square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_weight_alone_wants_a_gradient(ops: ModuleType) -> None:
    case = CASES['plain']
    made = operands(case)
    image, offset = made['image'].detach(), made['offset'].detach()
    weight = made['weight']
    expected = slow_deform_conv(image, offset, weight, case)
    actual = ops.deform_conv2d(image, offset, weight, *case)
    assert_same_with_gradients(actual, expected, [weight])


def test_given_gradients_are_added_to(extension: ModuleType) -> None:
    made = {name: leaf.detach() for name, leaf in operands(CASES['plain']).items()}
    image, offset, weight = made['image'], made['offset'], made['weight']
    grad = torch.randn(IMAGE[0], 6, *output_size(CASES['plain'])).double()
    unused = image.new_zeros(0)
    window = dict(kW=2, kH=3, dW=1, dH=1, padW=0, padH=0, dilationW=1, dilationH=1)
    window |= dict(group=1, deformable_group=1, im2col_step=1)

    def gradients(start: float, scale: float) -> list[Tensor]:
        buffers = [torch.full_like(x, start) for x in (image, offset, weight)]
        extension.deform_conv_backward_input(
            image, offset, grad, *buffers[:2], weight, unused, **window
        )
        extension.deform_conv_backward_parameters(
            image, offset, grad, buffers[2], unused, unused, scale=scale, **window
        )
        return buffers

    grad_image, grad_offset, grad_weight = gradients(start=0, scale=1)
    added = gradients(start=5, scale=0.5)
    torch.testing.assert_close(added[0], grad_image + 5)
    torch.testing.assert_close(added[1], grad_offset)
    torch.testing.assert_close(added[2], grad_weight / 2 + 5)


def test_given_modulated_gradients_are_added_to(extension: ModuleType) -> None:
    made = {name: leaf.detach() for name, leaf in operands(CASES['plain']).items()}
    grad = torch.randn(IMAGE[0], 6, *output_size(CASES['plain'])).double()
    unused = grad.new_zeros(0)
    image, weight, bias = made['image'], made['weight'], made['bias']
    window = dict(kernel_h=3, kernel_w=2, stride_h=1, stride_w=1, pad_h=0, pad_w=0)
    window |= dict(dilation_h=1, dilation_w=1, group=1, deformable_group=1)
    inputs = (image, weight, bias, unused, made['offset'], made['mask'], unused)
    names = ('image', 'weight', 'bias', 'offset', 'mask')

    def gradients(start: float) -> dict[str, Tensor]:
        buffers = {name: torch.full_like(made[name], start) for name in names}
        extension.modulated_deform_conv_backward(
            *inputs, *buffers.values(), grad, with_bias=True, **window
        )
        return buffers

    fresh, added = gradients(start=0), gradients(start=5)
    for name in names:
        start = 0 if name in ('offset', 'mask') else 5
        torch.testing.assert_close(added[name], fresh[name] + start)


def test_wrong_offset_channels_raise(ops: ModuleType) -> None:
    made = operands(CASES['plain'])
    with pytest.raises(RuntimeError, match='offset'):
        ops.deform_conv2d(made['image'], made['offset'][:, 1:], made['weight'])


def test_the_line_names_the_op_what_there_is_and_the_way_out() -> None:
    error = MissingOpError('carafe_forward', ['nms', 'roi_align_forward'])
    message = str(error)
    assert 'mmcv op carafe_forward' in message
    assert 'only nms, roi_align_forward;' in message
    assert message.endswith(INSTALL)
    assert '\n' not in message


def test_it_is_an_error_of_ours_and_of_a_feature_that_is_missing() -> None:
    for kind in (SciPluginsError, NotImplementedError):
        with pytest.raises(kind):
            raise MissingOpError('carafe_forward', [])


def test_the_command_compiles_and_takes_no_wheel_from_a_cache() -> None:
    words = shlex.split(INSTALL)
    assert words[:2] == ['pip', 'install']
    assert {'--no-build-isolation', '--no-cache-dir', '--force-reinstall'} < set(words)
    assert words[-1] == 'onedl-mmcv'


HALF, BRAIN, SINGLE, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    ('given', 'computed'),
    [
        ([SINGLE, SINGLE], SINGLE),
        ([HALF, HALF], SINGLE),
        ([BRAIN, SINGLE], SINGLE),
        ([torch.int64, HALF], SINGLE),
        ([HALF, DOUBLE], DOUBLE),
        ([DOUBLE, SINGLE, BRAIN], DOUBLE),
    ],
)
def test_double_if_one_is_else_single(given: list[torch.dtype], computed: torch.dtype) -> None:
    tensors = [torch.ones(2, dtype=dtype) for dtype in given]
    found = as_computed(*tensors)
    assert [each.dtype for each in found] == [computed] * len(given)
    assert [each.dtype for each in tensors] == given


def test_values_and_gradients_pass() -> None:
    half = torch.tensor([0.5, -2.0], dtype=HALF, requires_grad=True)
    (single,) = as_computed(half)
    assert single.tolist() == [0.5, -2.0]
    (single * 3).sum().backward()
    assert half.grad is not None
    assert half.grad.tolist() == [3, 3]


def test_what_fits_is_not_copied() -> None:
    tensor = torch.rand(3)
    assert as_computed(tensor)[0] is tensor
