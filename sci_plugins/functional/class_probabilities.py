"""Merging the class probabilities of two looks at one image."""

import math

from torch import Tensor

from sci_plugins.errors import ConfigError, DataError


def merge_logits(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """Logits of the mean of two predictions' class probabilities.

    ``log((1 - weight) softmax(first) + weight softmax(second))``, computed without
    leaving the logarithm: a class that both find improbable stays comparable.

    Args:
        first: ``(C, ...)`` logits, classes first.
        second: the same shape.
        weight: of ``second``, in [0, 1].

    Returns:
        ``(C, ...)``, float32 or wider: logarithms of probabilities, whose softmax are
        the probabilities. With a weight of 0 or 1 the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    weight = check_weight(weight)
    _check_shapes(first, second)
    if weight in (0, 1):
        return second if weight else first
    parts = [
        _wide(logits).log_softmax(dim=0) + math.log(share)
        for logits, share in ((first, 1 - weight), (second, weight))
    ]
    return parts[0].logaddexp(parts[1])


def merge_probabilities(first: Tensor, second: Tensor, weight: float = 0.5) -> Tensor:
    """``(1 - weight) first + weight second``, for a head of one channel after sigmoid.

    Args:
        first, second: probabilities in [0, 1], of one shape.
        weight: of ``second``, in [0, 1].

    Returns:
        The same shape, float32 or wider; with a weight of 0 or 1 the input itself.

    Raises:
        ConfigError: if the weight is out of range.
        DataError: if the shapes differ.
    """
    weight = check_weight(weight)
    _check_shapes(first, second)
    if weight in (0, 1):
        return second if weight else first
    return (1 - weight) * _wide(first) + weight * _wide(second)


def check_weight(weight: float) -> float:
    """``weight`` if it is in [0, 1].

    Raises:
        ConfigError: otherwise.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f'weight must be in [0, 1], got {weight}')
    return weight


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.element_size() < 4 else values


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise DataError(
            f'predictions must have one shape, got {tuple(first.shape)} and '
            f'{tuple(second.shape)}'
        )
