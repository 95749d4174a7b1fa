"""The enhancer's own loss beside a model's: values, gradients, and nothing left over."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from sci_plugins.apis import attach
from sci_plugins.engine.hooks import EnhancementLossHook
from sci_plugins.functional.losses import fidelity_loss, smoothness_loss
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.registry import HOOKS, MODELS
from tests.plain_sci import plain_illumination, visible_weights


def sci_loss(illumination: Tensor, image: Tensor) -> Tensor:
    """Loss of one stage, with the authors' weights."""
    smoothness = smoothness_loss(illumination, image)
    return 1.5 * fidelity_loss(illumination, image) + smoothness


class _Model(BaseModel):
    """A task with one parameter: its loss is the mean of what it sees, times that."""

    def __init__(self) -> None:
        super().__init__(ImgDataPreprocessor())
        self.scale = nn.Parameter(torch.tensor(0.01))

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
        if mode == 'loss':
            return dict(loss_task=self.scale * inputs.mean())
        return [inputs.mean() for _ in inputs]


def _model(**settings: Any) -> Any:
    model = _Model()
    enhancer = SCIEnhancer()
    enhancer.load_state_dict(visible_weights())
    return attach(model, enhancer, **dict(dict(frozen=False), **settings))


def _images(*sizes: tuple[int, int]) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 90, (3, *size), generator=source, dtype=torch.uint8)
        for size in sizes or ((12, 14), (12, 14))
    ]


def _hooked(model: Any, **settings: Any) -> EnhancementLossHook:
    hook = EnhancementLossHook(**settings)
    hook.before_train(SimpleNamespace(model=model))
    return hook


def _step(model: Any, images: list[Tensor], wrapper: Any = OptimWrapper) -> Any:
    """Losses of one training step as a Runner makes it; the gradients stay."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.zero_grad = lambda *_, **__: None  # type: ignore[method-assign]
    return model.train_step(dict(inputs=images), wrapper(optimizer))


def _plain_pairs(images: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(illumination, input) by the second opinion."""
    inputs = [image[[2, 1, 0]].float()[None] / 255 for image in images]
    return [(plain_illumination(visible_weights(), x), x) for x in inputs]


@pytest.mark.parametrize('weight', [1.0, 0.25, 3])
def test_values_are_sci_s_loss_times_the_weight(weight: float) -> None:
    images = _images((12, 14), (9, 20), (31, 5))
    model = _model().train()
    alone = _step(model, images)
    _hooked(model, weight=weight)
    logged = _step(model, images)
    pairs = _plain_pairs(images)
    wanted = dict(
        loss_task=alone['loss_task'],
        loss_enhance_fidelity=weight * sum(1.5 * fidelity_loss(*p) for p in pairs) / 3,
        loss_enhance_smoothness=weight * sum(smoothness_loss(*p) for p in pairs) / 3,
    )
    total = alone['loss_task'] + weight * sum(sci_loss(*pair) for pair in pairs) / 3
    assert list(alone) == ['loss', 'loss_task']
    assert list(logged) == ['loss', *wanted]
    for name, value in (('loss', total), *wanted.items()):
        torch.testing.assert_close(logged[name], value, rtol=1e-5, atol=0, msg=name)
    assert logged['loss_enhance_fidelity'] > 0.01
    assert logged['loss_enhance_smoothness'] > 0.01


def test_another_loss_and_its_settings() -> None:
    images, model = _images(), _model().train()
    loss = dict(type='sci_plugins.SCILoss', fidelity_weight=4.0, sigma=0.1)
    _hooked(model, loss=loss)
    logged = _step(model, images)
    pairs = _plain_pairs(images)
    fidelity = sum(4 * fidelity_loss(*pair) for pair in pairs) / 2
    smoothness = sum(smoothness_loss(*pair, 0.1) for pair in pairs) / 2
    torch.testing.assert_close(logged['loss_enhance_fidelity'], fidelity)
    torch.testing.assert_close(logged['loss_enhance_smoothness'], smoothness)


def test_the_loss_goes_where_the_model_is() -> None:
    hook = EnhancementLossHook()
    hook.loss.register_buffer('kernel', torch.ones(1))
    hook.before_train(SimpleNamespace(model=_model().to('meta')))
    assert hook.loss.kernel.device.type == 'meta'


def _gradients(model: Any) -> dict[str, Tensor]:
    return {name: value.grad for name, value in model.named_parameters()}


def test_gradients_are_the_sum_of_both_losses() -> None:
    images = _images()
    task, joint = _model().train(), _model().train()
    _step(task, images)
    _hooked(joint, weight=0.5)
    _step(joint, images)
    by_hand = _model()
    for image in images:
        rgb = image[[2, 1, 0]].float()[None] / 255
        enhancer = by_hand.data_preprocessor.enhancer.eval()
        (0.5 * sci_loss(enhancer.estimate_illumination(rgb), rgb) / 2).backward()
    own = _gradients(by_hand)
    for name, gradient in _gradients(joint).items():
        wanted = _gradients(task)[name] + (own[name] if own[name] is not None else 0)
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)
        assert (own[name] is None) == (name == 'scale')
        assert own[name] is None or own[name].abs().max() > 1e-4


def test_nothing_is_kept_after_a_step() -> None:
    images, model = _images(), _model().train()
    _hooked(model)
    model.data_preprocessor(dict(inputs=images), True)
    assert len(model.data_preprocessor.kept_pairs) == 2
    with pytest.raises(RuntimeError, match='deepcopy'):
        copy.deepcopy(model)  # what the next lines are for
    _step(model, images)
    assert model.data_preprocessor.kept_pairs == []
    copy.deepcopy(model)


def test_testing_keeps_and_adds_nothing() -> None:
    images, model = _images(), _model().eval()
    before = model.test_step(dict(inputs=images))
    _hooked(model)
    assert model.test_step(dict(inputs=images)) == before
    assert model.data_preprocessor.kept_pairs == []


class _CpuAmp(OptimWrapper):
    """MMEngine's AmpOptimWrapper asks for a GPU; autocast itself does not."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
            yield


def test_autocast_leaves_the_loss_in_float32() -> None:
    images, model = _images(), _model().train()
    _hooked(model)
    plain = _step(model, images)
    model.zero_grad()
    mixed = _step(model, images, _CpuAmp)
    assert all(value.dtype == torch.float32 for value in mixed.values())
    assert mixed == plain
    assert all(grad.dtype == torch.float32 for grad in _gradients(model).values())


def _trained(images: list[Tensor], batches: int) -> dict[str, Tensor]:
    """Weights after one update from all images, in one batch or several."""
    model = _model().train()
    _hooked(model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=batches)
    wrapper.initialize_count_status(model, 0, batches)
    size = len(images) // batches
    for first in range(0, len(images), size):
        model.train_step(dict(inputs=images[first : first + size]), wrapper)
    return model.state_dict()


def test_accumulating_two_batches_is_one_of_both() -> None:
    images = _images((12, 14), (12, 14), (12, 14), (12, 14))
    together, in_two = _trained(images, 1), _trained(images, 2)
    start = _model().state_dict()
    for name, value in together.items():
        torch.testing.assert_close(in_two[name], value, rtol=1e-5, atol=1e-7, msg=name)
    bias = 'data_preprocessor.enhancer.out_conv.bias'
    assert (together[bias] - start[bias]).abs().min() > 1e-3


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (9, 2), (1, 40)])
def test_what_is_too_small_for_a_neighbourhood(size: tuple[int, int]) -> None:
    model = _model().train()
    _hooked(model)
    logged = _step(model, _images(size))
    (pair,) = _plain_pairs(_images(size))
    assert torch.isfinite(logged['loss'])
    if size == (1, 1):
        fidelity = 1.5 * fidelity_loss(*pair)
        torch.testing.assert_close(logged['loss_enhance_fidelity'], fidelity)
        assert logged['loss_enhance_smoothness'] == 0
    assert all(torch.isfinite(grad).all() for grad in _gradients(model).values())


def test_after_training_the_model_is_as_before() -> None:
    images, model = _images(), _model().train()
    before = _step(model, images)
    runner = SimpleNamespace(model=model)
    hook = EnhancementLossHook()
    for _ in range(2):  # a hook may serve two trainings
        hook.before_train(runner)
        assert len(_step(model, images)) == 4
        hook.after_train(runner)
        assert _step(model, images) == before
        assert not model._forward_hooks
        assert model.data_preprocessor.keep_pairs is False
    hook.after_train(runner)  # and an end without a start does no harm


class _Photos(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(inputs=_images(*[(12, 14)] * 4)[index])


def _runner(model: Any, work_dir: Path, **settings: Any) -> Runner:
    config: dict[str, Any] = dict(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=_Photos(),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='sci_plugins.EnhancementLossHook', weight=2.0)],
        default_scope='mmengine',
        experiment_name=f'test_{work_dir.name}',
    )
    return Runner(**{**config, **settings})


def test_a_runner_logs_it_and_ema_goes_along(tmp_path: Path) -> None:
    model = _model()
    hooks = [dict(type='sci_plugins.EnhancementLossHook'), EMAHook(momentum=0.5)]
    runner = _runner(model, tmp_path, custom_hooks=hooks)
    start = model.data_preprocessor.enhancer.out_conv.bias.detach().clone()
    runner.train()
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        parts = ('loss_task', 'loss_enhance_fidelity', 'loss_enhance_smoothness')
        assert line['loss'] == pytest.approx(sum(line[part] for part in parts), rel=1e-4)
    (log,) = tmp_path.glob('*/*.log')
    assert 'loss_enhance_fidelity: ' in log.read_text()
    average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model
    smooth = average.module.data_preprocessor.enhancer.out_conv.bias
    end = model.data_preprocessor.enhancer.out_conv.bias
    assert (smooth - start).abs().min() > 1e-4
    assert (end - smooth).abs().min() > 1e-4
    assert not model._forward_hooks


def test_it_comes_from_a_config() -> None:
    hook = HOOKS.build(dict(type='sci_plugins.EnhancementLossHook', weight=0.5))
    assert type(hook) is EnhancementLossHook
    assert hook.weight == 0.5
    assert type(hook.loss) is MODELS.get('sci_plugins.SCILoss')
