"""Which errors of MMEngine and the hosts are a user's mistake, and how they read."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement, PixelData

from sci_plugins.utils.cli import describe_host_error, frames_of, is_ours


def _raised(call: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


@MODELS.register_module(force=True)
class _Layer(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        torch.zeros(width, 'wide')  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({}, 'missing 1 required positional argument'),
        (dict(widht=3), 'unexpected keyword argument'),
    ],
)
def test_arguments_that_a_type_does_not_have(arguments: dict, words: str) -> None:
    error = _raised(lambda: MODELS.build(dict(type='_Layer', **arguments)))
    message = describe_host_error(error)
    assert message is not None
    assert words in message
    assert '_Layer.__init__()' in message
    assert message.endswith(": check the config's arguments for it")


def test_an_error_inside_a_type_is_no_mistake_in_the_config() -> None:
    error = _raised(lambda: MODELS.build(dict(type='_Layer', width=3)))
    assert isinstance(error, TypeError)
    assert describe_host_error(error) is None


def test_a_list_where_a_batch_should_be() -> None:
    layer: Any = torch.nn.Conv2d(3, 3, 3)
    message = describe_host_error(_raised(lambda: layer([torch.zeros(3, 8, 8)])))
    assert message is not None
    assert 'no data_preprocessor' in message
    other = _raised(lambda: layer('x'))
    assert isinstance(other, TypeError)
    assert describe_host_error(other) is None


def test_a_class_that_the_model_does_not_have() -> None:
    scores, labels = torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 77)
    message = describe_host_error(_raised(lambda: F.cross_entropy(scores, labels)))
    assert message is not None
    assert 'class 77' in message


def test_a_label_map_of_another_size() -> None:
    def process(data_sample: Any) -> Any:
        return torch.zeros(4, 6)[torch.zeros(4, 5, dtype=torch.bool)]

    sample = dict(img_path='a.jpg', seg_map_path='a.png')
    message = describe_host_error(_raised(lambda: process(sample)))
    assert message == 'a.png: the label map has the size [4, 5], the image [4, 6]'
    del sample['seg_map_path']
    message = describe_host_error(_raised(lambda: process(sample)))
    assert message is not None
    assert message.startswith('a.jpg: ')
    assert describe_host_error(_raised(lambda: process(None))) is None


def _batch(sizes: list[tuple[int, int]], padding: int = 0) -> list[Any]:
    """Samples as mmseg's data preprocessor hands them on; images are 64x48."""
    samples = []
    for index, (height, width) in enumerate(sizes):
        meta = dict(
            seg_map_path=f'{index}.png',
            img_shape=(64, 48),
            padding_size=(0, padding, 0, 2 * padding),
        )
        label = torch.zeros(1, height + 2 * padding, width + padding)
        sample = BaseDataElement(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    return samples


@pytest.mark.parametrize('padding', [0, 16])
def test_label_maps_that_make_no_batch(padding: int) -> None:
    def stack(batch_data_samples: list) -> Any:
        return torch.stack([each.gt_sem_seg.data for each in batch_data_samples])

    error = _raised(lambda: stack(_batch([(64, 48), (64, 40)], padding)))
    assert describe_host_error(error) == (
        '1.png: the label map has the size [64, 40], the image [64, 48] '
        '(as the pipeline gives them)'
    )
    fits = _batch([(64, 48), (64, 48)], padding)
    fits[1].gt_sem_seg = PixelData(data=torch.zeros(2, *fits[1].gt_sem_seg.shape))
    assert describe_host_error(_raised(lambda: stack(fits))) is None
    assert describe_host_error(_raised(lambda: torch.stack([]))) is None
    other = [torch.zeros(2), torch.zeros(3)]
    assert describe_host_error(_raised(lambda: torch.stack(other))) is None


@pytest.mark.parametrize('error', [IndexError('x'), TypeError('x'), ValueError('x')])
def test_anything_else_is_a_defect(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert describe_host_error(error) is None  # never raised
    assert describe_host_error(_raised(fail)) is None


def test_frames_and_whose_they_are() -> None:
    frames = frames_of(_raised(lambda: np.concatenate([])))
    assert frames[0].f_code.co_name == '_raised'
    assert not any(is_ours(frame) for frame in frames)
    mixed = frames_of(_raised(lambda: frames_of(3)))  # type: ignore[arg-type]
    assert not is_ours(mixed[0])
    assert is_ours(mixed[-1])
    assert frames_of(ValueError()) == []
