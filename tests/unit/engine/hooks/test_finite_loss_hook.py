"""A loss that is no number stops the run, and nothing bad is saved."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sci_plugins.engine.hooks import FiniteLossHook
from sci_plugins.errors import TrainingError
from tests.tiny_training import make_config, make_runner


class _BadImage:
    """The estimator gives NaN in the second epoch, whatever it sees."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def __call__(self, module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output * (math.nan if self.runner.iter == 3 else 1.0)


def test_it_names_the_images_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    runner = make_runner(make_config(tmp_path))
    runner.register_hook(FiniteLossHook())
    runner.model.estimator.out_conv.register_forward_hook(_BadImage(runner))
    with pytest.raises(TrainingError) as caught:
        runner.train()
    message = str(caught.value)
    assert message.startswith('loss is nan at iteration 4 (epoch 2), images: ')
    # Two of the five images are in the epoch's second batch.
    assert message.count(str(tmp_path / 'images')) == 2
    work_dir = tmp_path / 'work'
    assert f'the last good checkpoint is {work_dir / "epoch_1.pth"}' in message
    assert '\n' not in message
    assert [path.name for path in work_dir.glob('*.pth')] == ['epoch_1.pth']
    state = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in state.values())


def _runner(tmp_path: Path, **scalars: float) -> Any:
    log = {name: SimpleNamespace(current=lambda v=v: v) for name, v in scalars.items()}
    hub = SimpleNamespace(log_scalars={f'train/{k}': v for k, v in log.items()})
    return SimpleNamespace(
        message_hub=hub, optim_wrapper=None, iter=6, epoch=2, work_dir=str(tmp_path)
    )


def _step(runner: Any, **outputs: float) -> None:
    values = {name: torch.tensor(value) for name, value in outputs.items()}
    FiniteLossHook().after_train_iter(runner, 0, dict(inputs=[]), values)


def test_a_gradient_that_is_infinite(tmp_path: Path) -> None:
    _step(_runner(tmp_path, grad_norm=3.0), loss=1.0)
    message = 'gradient norm is inf at iteration 7 .*no checkpoint had been saved'
    with pytest.raises(TrainingError, match=message):
        _step(_runner(tmp_path, grad_norm=math.inf), loss=1.0)


def test_mixed_precision_skips_such_steps_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        'sci_plugins.engine.hooks.finite_loss_hook.AmpOptimWrapper', SimpleNamespace
    )
    runner = _runner(tmp_path, grad_norm=math.inf)
    runner.optim_wrapper = SimpleNamespace()
    _step(runner, loss=1.0)
    with pytest.raises(TrainingError, match='loss is inf'):
        _step(runner, loss=math.inf)


def test_many_images_are_not_all_named(tmp_path: Path) -> None:
    samples = [SimpleNamespace(img_path=f'{index}.png') for index in range(20)]
    with pytest.raises(TrainingError, match=r'0\.png, .*, 7\.png and 12 more;'):
        FiniteLossHook().after_train_iter(
            _runner(tmp_path), 0, dict(data_samples=samples), dict(loss=torch.tensor(math.nan))
        )


def test_bad_weights_are_not_saved(tmp_path: Path) -> None:
    state = dict(good=torch.ones(2), bad=torch.tensor([1, math.nan]))
    checkpoint = dict(state_dict=state)
    with pytest.raises(TrainingError, match='bad holds NaN or infinite values'):
        FiniteLossHook().before_save_checkpoint(_runner(tmp_path), checkpoint)
    del state['bad']
    FiniteLossHook().before_save_checkpoint(_runner(tmp_path), checkpoint)
