"""Keeping samples of a test run: the right ones, in the right colours."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import nn

from sci_plugins.apis import attach
from sci_plugins.engine.hooks import SampleKeeperHook, image_at, keep_sample
from sci_plugins.functional.low_light import darken


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.data_preprocessor = ImgDataPreprocessor()


def _runner(model: nn.Module, **metainfo: Any) -> Any:
    dataset = SimpleNamespace(metainfo=metainfo)
    return SimpleNamespace(model=model, test_dataloader=SimpleNamespace(dataset=dataset))


def _batch(first: int, size: int) -> tuple[dict, list]:
    """Images in BGR whose blue value tells their position."""
    images = []
    for index in range(first, first + size):
        image = torch.zeros(3, 4, 6, dtype=torch.uint8)
        image[0], image[2] = index, 100
        images.append(image)
    outputs = [
        SimpleNamespace(img_path=f'/data/sub/{index}.png') for index in range(first, first + size)
    ]
    return dict(inputs=images), outputs


def _run(hook: SampleKeeperHook, runner: Any, sizes: tuple[int, ...] = (2, 2, 1)) -> None:
    hook.before_test(runner)
    first = 0
    for step, size in enumerate(sizes):
        data, outputs = _batch(first, size)
        hook.after_test_iter(runner, step, data, outputs)
        first += size


def test_positions_are_those_of_the_set_not_of_the_batch() -> None:
    hook = SampleKeeperHook([0, 3, 4])
    _run(hook, _runner(_Model()))
    assert sorted(hook.samples) == [0, 3, 4]
    for index, sample in hook.samples.items():
        assert (sample.index, sample.name) == (index, f'{index}.png')
        assert sample.output.img_path.endswith(sample.name)


def test_images_are_rgb_of_8_bits() -> None:
    hook = SampleKeeperHook([3])
    _run(hook, _runner(_Model()))
    image = hook.samples[3].image
    assert (image.dtype, image.shape) == (np.uint8, (4, 6, 3))
    assert image[0, 0].tolist() == [100, 0, 3]


def test_without_an_enhancer_both_are_the_same() -> None:
    hook = SampleKeeperHook([1])
    _run(hook, _runner(_Model()))
    np.testing.assert_array_equal(hook.samples[1].enhanced, hook.samples[1].image)


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_what_the_model_sees(order: str) -> None:
    model = attach(_Model(), 'gamma/0.5', input_order=order)
    hook = SampleKeeperHook([4])
    _run(hook, _runner(model))
    sample = hook.samples[4]
    channels = [100, 0, 4] if order == 'bgr' else [4, 0, 100]
    assert sample.image[0, 0].tolist() == channels
    wanted = 255 * np.sqrt(np.array(channels) / 255)
    np.testing.assert_allclose(sample.enhanced[0, 0], wanted, atol=1)


def test_what_the_model_sees_of_an_image_that_was_enlarged() -> None:
    """Noise that the resize hides: by the image alone, the stage would leave it as it is."""
    model = attach(_Model(), 'adaptive')
    dark = darken(np.full((80, 90, 3), 150, np.uint8), 0.05, 0.004, 0, np.random.default_rng(0))
    image = torch.from_numpy(cv2.resize(dark, (180, 160))).permute(2, 0, 1)
    sample = BaseDataElement(metainfo=dict(ori_shape=(80, 90), scale_factor=(2.0, 2.0)))
    for samples, grows in (([sample], True), ([BaseDataElement()], False)):
        batch = dict(inputs=[image], data_samples=samples)
        kept = keep_sample(0, model, batch, 0, SimpleNamespace())
        assert (kept.enhanced.mean() > 2 * kept.image.mean()) == grows


def test_16_bits_are_drawn_as_8() -> None:
    model = attach(_Model(), 'gamma/0.5', input_max=65535)
    image = torch.full((3, 4, 6), 25 * 257, dtype=torch.int32).to(torch.uint16)
    sample = keep_sample(0, model, dict(inputs=[image]), 0, SimpleNamespace(), 65535)
    assert (sample.image == 25).all()
    np.testing.assert_allclose(sample.enhanced, 255 * np.sqrt(25 / 255), atol=1)


def test_it_asks_for_nothing_that_is_not_there() -> None:
    hook = SampleKeeperHook([0, 99])
    _run(hook, _runner(_Model()))
    assert sorted(hook.samples) == [0]


def test_a_second_run_counts_from_the_start() -> None:
    hook = SampleKeeperHook([0])
    for _ in range(2):
        _run(hook, _runner(_Model()))
        assert hook.samples[0].name == '0.png'


def test_the_palette_comes_along() -> None:
    hook = SampleKeeperHook([0])
    hook.before_test(_runner(_Model(), palette=[[1, 2, 3]]))
    assert hook.palette == [[1, 2, 3]]
    hook.before_test(_runner(_Model()))
    assert hook.palette is None


def test_names_of_other_systems() -> None:
    hook = SampleKeeperHook([0])
    runner = _runner(_Model())
    hook.before_test(runner)
    data, _ = _batch(0, 1)
    hook.after_test_iter(runner, 0, data, [SimpleNamespace(img_path='C:\\data\\a.png')])
    assert hook.samples[0].name == 'a.png'
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, data, [SimpleNamespace()])
    assert hook.samples[0].name == '0'


def test_of_several_views_the_first_upright_one() -> None:
    views = [[torch.full((3, 2, 2), 10 * v + place) for place in (0, 1)] for v in range(3)]
    samples = [[dict(flip=flip)] * 2 for flip in (True, False, False)]
    assert image_at(dict(inputs=views, data_samples=samples), 1)[0, 0, 0] == 11
    assert image_at(dict(inputs=views), 1)[0, 0, 0] == 1
    assert image_at(dict(inputs=views[2]), 1)[0, 0, 0] == 21
    assert image_at(dict(inputs=torch.stack(views[2])), 0)[0, 0, 0] == 20
    assert image_at(dict(inputs=views, data_samples=samples), 1, 'data_samples') == dict(flip=False)
    assert image_at(dict(inputs=views[2], data_samples=['a', 'b']), 1, 'data_samples') == 'b'
    assert image_at(dict(inputs=views[2]), 1, 'data_samples') is None


def test_an_iteration_without_outputs() -> None:
    hook = SampleKeeperHook([0])
    runner = _runner(_Model())
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=[]), None)
    assert hook.samples == {}


def test_two_processes_keep_what_falls_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler deals images out in turn: 0, 2, 4 to one, 1, 3, 5 to the other."""
    module = 'sci_plugins.engine.hooks.sample_keeper_hook'
    monkeypatch.setattr(f'{module}.get_world_size', lambda: 2)
    kept = []
    for rank in (0, 1):
        monkeypatch.setattr(f'{module}.get_rank', lambda rank=rank: rank)
        hook = SampleKeeperHook([0, 3, 4])
        _run(hook, _runner(_Model()), (1, 1, 1))
        kept.append({index: sample.name for index, sample in hook.samples.items()})
    assert kept == [{0: '0.png', 4: '2.png'}, {3: '1.png'}]


def test_of_two_views_both_are_kept() -> None:
    """As RawAndEnhanced gives them: the model itself enhances nothing."""
    model = SimpleNamespace(data_preprocessor=SimpleNamespace())
    raw, enhanced = (torch.full((3, 4, 5), value, dtype=torch.uint8) for value in (20, 90))
    batch = dict(inputs=[[raw], [enhanced]], views=[('raw',), ('enhanced',)])
    sample = keep_sample(0, model, batch, 0, SimpleNamespace())
    assert int(sample.image.max()) == 20
    assert int(sample.enhanced.min()) == 90
