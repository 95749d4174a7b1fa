"""The one-pass smoothness against 24 terms written down plainly."""

import pytest
import torch
from torch import Tensor

from sci_plugins.functional import losses as smoothness
from sci_plugins.functional.losses import weighted_variation

SHAPES = [(1, 3, 3, 3), (2, 3, 5, 8), (1, 3, 9, 3), (3, 3, 4, 17)]


def plain_variation(illumination: Tensor, colors: Tensor, sigma: float) -> Tensor:
    """All 24 neighbours one after another, for autograd to differentiate."""
    height, width = colors.shape[-2:]

    def shift(image: Tensor, dy: int, dx: int) -> Tensor:
        rows = slice(max(dy, 0), height + min(dy, 0))
        return image[:, :, rows, max(dx, 0) : width + min(dx, 0)]

    total = torch.zeros((), dtype=illumination.dtype)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if (dy, dx) != (0, 0):
                contrast = shift(colors, dy, dx) - shift(colors, -dy, -dx)
                weight = torch.exp((contrast**2).sum(1) / (-2 * sigma**2))
                step = shift(illumination, dy, dx) - shift(illumination, -dy, -dx)
                total = total + (weight * step.abs().sum(1)).mean()
    return total


def make_pair(*shape: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.rand(shape, dtype=dtype).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('sigma', [10.0, 0.1])
def test_value_and_gradients_are_those_of_24_terms(shape, sigma):
    pair = make_pair(*shape)
    got, want = weighted_variation(*pair, sigma), plain_variation(*pair, sigma)
    assert float(got.detach()) == pytest.approx(float(want.detach()), rel=1e-13)
    grads = [torch.autograd.grad(value * 0.7, pair) for value in (got, want)]
    for ours, theirs in zip(*grads, strict=True):
        assert float(theirs.abs().max()) > 1e-4
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error < 1e-12


def test_float32_at_a_photograph_s_size():
    pair = make_pair(1, 3, 121, 190, dtype=torch.float32)
    exact = [tensor.detach().double().requires_grad_() for tensor in pair]
    got, want = weighted_variation(*pair, 0.3), plain_variation(*exact, 0.3)
    assert float(got.detach()) == pytest.approx(float(want.detach()), rel=1e-6)
    grads = torch.autograd.grad(got, pair), torch.autograd.grad(want, exact)
    for ours, theirs in zip(*grads, strict=True):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 5e-6


@pytest.mark.parametrize('sigma', [10.0, 0.3])
def test_gradcheck(sigma):
    pair = make_pair(2, 3, 3, 4)
    assert torch.autograd.gradcheck(lambda *p: weighted_variation(*p, sigma), pair)


@pytest.mark.parametrize('wanted', [(True, False), (False, True), (False, False)])
def test_only_what_is_asked_for_is_computed(wanted, monkeypatch):
    planes = []

    def spy(illumination, colors, sigma, count):
        planes.append(count)
        return visit(illumination, colors, sigma, count)

    visit = smoothness._visit_pairs
    monkeypatch.setattr(smoothness, '_visit_pairs', spy)
    full = make_pair(1, 3, 5, 6)
    pair = [t.detach().requires_grad_(w) for t, w in zip(full, wanted, strict=True)]
    value = weighted_variation(*pair, 0.5)
    assert float(value.detach()) == pytest.approx(
        float(plain_variation(*full, 0.5).detach()), rel=1e-13
    )
    assert planes == [6 if wanted[1] else 3 if wanted[0] else 0]
    assert value.requires_grad == any(wanted)
    if any(wanted):
        value.backward()
        grads = torch.autograd.grad(plain_variation(*full, 0.5), full)
        for tensor, asked, want in zip(pair, wanted, grads, strict=True):
            assert (tensor.grad is not None) == asked
            if asked:
                torch.testing.assert_close(tensor.grad, want, rtol=1e-11, atol=1e-14)


def test_equal_neighbours_have_no_gradient():
    """The kink of the absolute value: PyTorch's choice there is zero."""
    illumination = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    colors = torch.rand(1, 3, 4, 4, requires_grad=True)
    value = weighted_variation(illumination, colors, 0.1)
    value.backward()
    assert float(value.detach()) == 0
    assert not illumination.grad.any()
    assert not colors.grad.any()


def test_memory_layout_does_not_matter_and_inputs_stay():
    pair = make_pair(2, 3, 6, 5)
    before = [tensor.detach().clone() for tensor in pair]
    want = torch.autograd.grad(weighted_variation(*pair, 0.2), pair)
    other = [
        pair[0].detach().to(memory_format=torch.channels_last).requires_grad_(),
        pair[1].detach().transpose(2, 3).contiguous().transpose(2, 3).requires_grad_(),
    ]
    for got, expected in zip(
        torch.autograd.grad(weighted_variation(*other, 0.2), other), want, strict=True
    ):
        torch.testing.assert_close(got, expected)
    assert all(torch.equal(a, b) for a, b in zip(pair, before, strict=True))


def test_the_graph_may_be_used_twice_and_gives_the_same():
    pair = make_pair(1, 3, 30, 31, dtype=torch.float32)
    value = weighted_variation(*pair, 0.2)
    first = torch.autograd.grad(value, pair, retain_graph=True)
    second = torch.autograd.grad(value, pair)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    again = torch.autograd.grad(weighted_variation(*pair, 0.2), pair)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_second_derivative_is_refused():
    pair = make_pair(1, 3, 4, 4)
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(weighted_variation(*pair, 0.2), pair, create_graph=True)


@pytest.mark.parametrize('planes', [0, 3, 6])
def test_what_a_compiler_is_told_about_the_operator(planes):
    pair = [tensor.detach() for tensor in make_pair(2, 3, 5, 4)]
    torch.library.opcheck(
        smoothness._visit_pairs, (*pair, 0.4, planes), test_utils=('test_schema', 'test_faketensor')
    )


def test_a_compiler_takes_it_whole():
    pair = make_pair(1, 3, 6, 7)
    compiled = torch.compile(weighted_variation, backend='aot_eager', fullgraph=True)
    grads = [
        torch.autograd.grad(function(*pair, 0.3), pair)
        for function in (compiled, weighted_variation)
    ]
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


def test_device(device):
    pair = [tensor.detach() for tensor in make_pair(1, 3, 5, 6)]
    moved = [tensor.clone().to(device).requires_grad_() for tensor in pair]
    value = weighted_variation(*moved, 0.3)
    assert value.device.type == device.type
    assert float(value.detach()) == pytest.approx(float(plain_variation(*pair, 0.3)))
    assert torch.autograd.grad(value, moved)[0].device.type == device.type
