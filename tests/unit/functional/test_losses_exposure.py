import pytest
import torch

from sci_plugins.functional.losses import exposure_loss, mean_brightness


def flat(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 5).clone()


def test_mean_brightness_is_that_of_each_image() -> None:
    torch.testing.assert_close(mean_brightness(flat(0.2, 0.7)), torch.tensor([0.2, 0.7]))


@pytest.mark.parametrize(
    ('image', 'enhanced', 'wanted'),
    [
        (0.1, 0.45, 0.0),  # a dark image has reached the target
        (0.1, 0.25, 0.04),
        (0.1, 0.65, 0.04),  # too bright counts as much as too dark
        (0.7, 0.7, 0.0),  # a bright one keeps its brightness
        (0.7, 0.8, 0.01),
        (0.7, 0.45, 0.0625),  # and is not darkened to the target
    ],
)
def test_value(image: float, enhanced: float, wanted: float) -> None:
    found = exposure_loss(flat(enhanced), flat(image))
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=0, atol=1e-6)


def test_each_image_counts_by_itself() -> None:
    """Two errors of opposite sign do not cancel."""
    found = exposure_loss(flat(0.35, 0.55), flat(0.1, 0.1))
    torch.testing.assert_close(found, torch.tensor(0.01), rtol=0, atol=1e-6)


def test_gradcheck() -> None:
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 0.2
    enhanced = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: exposure_loss(x, image), enhanced)
    (gradient,) = torch.autograd.grad(exposure_loss(enhanced, image), enhanced)
    assert gradient.abs().min() > 0


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r'same shape .*, got \(1, 3, 4, 5\)'):
        exposure_loss(flat(0.1), flat(0.1, 0.2))
    with pytest.raises(ValueError, match='same shape'):
        exposure_loss(torch.rand(3, 4, 4), torch.rand(3, 4, 4))
    for target in (0.0, 1.0, float('nan')):
        with pytest.raises(ValueError, match='target must be in'):
            exposure_loss(flat(0.1), flat(0.1), target)
