"""Merging two predictions: against plain averages, and where averages lose digits."""

import math

import pytest
import torch

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.test_time.merge import merge_logits, merge_probabilities


@pytest.mark.parametrize('weight', [0.1, 0.5, 0.9])
def test_the_mean_of_probabilities(weight: float, device: torch.device) -> None:
    first, second = torch.randn(2, 5, 40, 50, dtype=torch.float64, device=device) * 4
    merged = merge_logits(first, second, weight)
    mean = (1 - weight) * first.softmax(0) + weight * second.softmax(0)
    torch.testing.assert_close(merged.exp(), mean)
    torch.testing.assert_close(merged.softmax(0), mean)
    assert torch.equal(merged.argmax(0), mean.argmax(0))
    logits = (1 - weight) * first + weight * second
    assert (logits.argmax(0) != mean.argmax(0)).any()  # not the same thing


@pytest.mark.parametrize('merge', [merge_logits, merge_probabilities])
def test_the_ends_are_the_inputs(merge: object) -> None:
    first, second = torch.rand(2, 3, 4, 4)
    assert merge(first, second, 0) is first
    assert merge(first, second, 1) is second


def test_no_class_is_lost() -> None:
    """Probabilities of e-300 have no float32; their order stays."""
    first = torch.tensor([0.0, -300, -290]).view(3, 1, 1)
    merged = merge_logits(first, first)
    torch.testing.assert_close(merged, first)
    assert torch.isfinite(merged).all()


def test_half_precision_is_widened() -> None:
    first, second = torch.randn(2, 4, 3, 3).to(torch.bfloat16)
    assert merge_logits(first, second).dtype == torch.float32
    assert merge_probabilities(first, second).dtype == torch.float32
    assert merge_logits(first.double(), second.double()).dtype == torch.float64


def test_one_channel() -> None:
    merged = merge_probabilities(torch.tensor([0.2, 1.0]), torch.tensor([0.6, 0.0]), 0.75)
    torch.testing.assert_close(merged, torch.tensor([0.5, 0.25]))


@pytest.mark.parametrize('merge', [merge_logits, merge_probabilities])
def test_mistakes(merge: object) -> None:
    first = torch.zeros(2, 3, 3)
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match=r'weight must be in \[0, 1\], got'):
            merge(first, first, weight)
    with pytest.raises(DataError, match=r'one shape, got \(2, 3, 3\) and \(2, 3, 4\)'):
        merge(first, torch.zeros(2, 3, 4))
