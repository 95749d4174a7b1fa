"""Packed convolutions against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F

from sci_plugins.functional import conv3x3 as packed_conv
from sci_plugins.functional.conv3x3 import Conv, PackedConv, pixels_per_step


def _conv(outputs: int, inputs: int) -> Conv:
    return Conv(torch.randn(outputs, inputs, 3, 3) * 0.3, torch.randn(outputs))


@pytest.mark.parametrize(('inputs', 'outputs'), [(3, 3), (3, 8), (8, 3), (1, 1), (2, 5)])
@pytest.mark.parametrize('pixels', [1, 2, 5, 16])
@pytest.mark.parametrize('steps', [2, 3])
def test_is_a_convolution_without_rows_of_padding(
    inputs: int, outputs: int, pixels: int, steps: int
) -> None:
    conv = _conv(outputs, inputs)
    image = torch.randn(2, inputs, 7, pixels * steps)
    result = PackedConv(conv, pixels)(image.to(memory_format=torch.channels_last))
    wanted = F.conv2d(image, *conv, padding=(0, 1))
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-5)


def test_the_result_is_not_rearranged() -> None:
    """The image is a view of the convolution's result, not a copy."""
    result = PackedConv(_conv(3, 3), 5)(
        torch.randn(1, 3, 6, 20).to(memory_format=torch.channels_last)
    )
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result._is_view()


@pytest.mark.parametrize(
    ('unit', 'channels', 'pixels'),
    [
        ('AVX512', 3, 5),
        ('AVX512', 8, 2),
        ('AVX512', 16, 1),
        ('AVX512', 64, 1),
        ('AVX2', 3, 2),
        ('DEFAULT', 3, 1),
    ],
)
def test_pixels_fill_a_vector_register(
    monkeypatch: pytest.MonkeyPatch, unit: str, channels: int, pixels: int
) -> None:
    monkeypatch.setattr(packed_conv.torch.backends.cpu, 'get_cpu_capability', lambda: unit)
    assert pixels_per_step(channels) == pixels
