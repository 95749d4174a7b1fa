"""Training the enhancer with a detector: one process, two, and gradients summed up."""

import copy
import itertools
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from sci_plugins.apis.config import load_config
from sci_plugins.engine.hooks import EnhancementLossHook
from sci_plugins.utils.checkpoint import load_fully, read_checkpoint
from tests.plain_sci import save_visible_weights
from tests.run_tool import TOOLS, run_ranks

pytest.importorskip('mmdet')

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / 'tests' / 'data' / 'make_tiny.py'))
ENHANCER = 'data_preprocessor.enhancer.'

# A user's own config, joint as in configs/darkface; images come in their order, so that
# two ranks of one image see in a step what one process of two images sees.
_JOINT = """
_base_ = 'tiny_detector.py'
custom_imports = dict(imports=['write_ranks'])
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(type='sci_plugins.SCIEnhancer', weights='{weights}'),
        frozen=False),
    backbone=dict(norm_eval=True))
custom_hooks = [
    dict(type='sci_plugins.EnhancementLossHook', weight=2.0),
    dict(type='mmengine.WriteRanks')
]
load_from = '{checkpoint}'
train_dataloader = dict(batch_size={images}, sampler=dict(shuffle=False))
train_cfg = dict(max_iters=3)
optim_wrapper = dict(
    optimizer=dict(lr=0.01, weight_decay=0.1),
    paramwise_cfg=dict(
        custom_keys={{
            'data_preprocessor.enhancer': dict(lr_mult=0.5, decay_mult=0.0)
        }}))
"""

_WRITE_RANKS = """
import os, torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

@HOOKS.register_module()
class WriteRanks(Hook):
    def after_train(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = os.path.join(runner.work_dir, f'rank_{runner.rank}.pt')
        torch.save(dict(model.named_parameters()), path)
"""


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny set, and the same joint training with one image a step and with two."""
    folder = tmp_path_factory.mktemp('joint')
    checkpoint = TINY['write_checkpoint'](TINY['write_detection'](folder))
    weights = save_visible_weights(folder / 'sci.pth')
    for images in (1, 2):
        text = _JOINT.format(weights=weights, checkpoint=checkpoint, images=images)
        (folder / f'joint_{images}.py').write_text(text)
    (folder / 'write_ranks.py').write_text(_WRITE_RANKS)
    return folder


def _train(folder: Path, images: int, **settings: Any) -> Runner:
    """Train in this process, from the Python side."""
    sys.path.insert(0, str(folder))  # for custom_imports
    try:
        cfg = load_config(str(folder / f'joint_{images}.py'), settings)
    finally:
        sys.path.remove(str(folder))
    cfg.work_dir = str(folder / f'one_process_{images}')
    cfg.custom_hooks = cfg.custom_hooks[:1]
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def _parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def _assert_close(found: dict, wanted: dict) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_two_ranks_are_one_process_with_both_images(folder: Path) -> None:
    work_dir = folder / 'two_ranks'
    command = [TOOLS / 'train.py', folder / 'joint_1.py', '--launcher', 'pytorch']
    environment = dict(os.environ, PYTHONPATH=str(folder), OMP_NUM_THREADS='1')
    for code, _, err in run_ranks([*command, '--work-dir', work_dir], environment):
        assert code == 0, err[-3000:]

    first, second = (torch.load(work_dir / f'rank_{rank}.pt') for rank in (0, 1))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = read_checkpoint(folder / 'sci.pth')
    for name in ('in_conv.weight', 'block_conv.weight', 'out_conv.bias'):
        assert (first[ENHANCER + name] - start[name]).abs().max() > 1e-4

    content = read_checkpoint(work_dir / 'iter_3.pth')
    model = MODELS.build(load_config(str(folder / 'tiny_detector.py')).model)
    load_fully(model, content, 'a plain model')  # the enhancer's entries do no harm
    assert all(torch.equal(content['state_dict'][k], v) for k, v in first.items())

    (log,) = work_dir.glob('*/*.log')  # one log, by the first rank
    for name in ('loss_cls', 'loss_enhance_fidelity', 'loss_enhance_smoothness'):
        assert log.read_text().count(f'{name}: ') == 3

    single = _train(folder, images=2)
    assert any(name.startswith(ENHANCER) for name in first)
    _assert_close({k: v.detach() for k, v in first.items()}, _parameters(single.model))


def test_accumulating_is_a_larger_batch(folder: Path) -> None:
    """With a real detector, through a Runner; the losses' own averages go by boxes."""
    options = {
        'model.bbox_head.loss_cls.loss_weight': 0.0,
        'model.bbox_head.loss_bbox.loss_weight': 0.0,
    }
    wanted = _train(folder, 2, **{'train_cfg.max_iters': 1}, **options)
    accumulate = {'optim_wrapper.accumulative_counts': 2, 'train_cfg.max_iters': 2}
    found = _train(folder, 1, **accumulate, **options)
    _assert_close(_parameters(found.model), _parameters(wanted.model))
    start = read_checkpoint(folder / 'sci.pth')
    moved = found.model.data_preprocessor.enhancer.out_conv.bias - start['out_conv.bias']
    assert moved.abs().max() > 1e-4


def _two_keys(folder: Path) -> Config:
    cfg = load_config(str(folder / 'tiny_detector.py'))
    init_default_scope('mmdet')
    enhancer = dict(type='sci_plugins.SCIEnhancer', weights=str(folder / 'sci.pth'))
    cfg.model.data_preprocessor.merge(
        dict(type='sci_plugins.EnhancedDetDataPreprocessor', enhancer=enhancer, frozen=False)
    )
    return cfg


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _three_steps(model: Any, wrapped: Any, data: list) -> dict[str, torch.Tensor]:
    hook = EnhancementLossHook()
    hook.before_train(SimpleNamespace(model=wrapped))
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    wrapped.train()
    for batch in data:
        losses = wrapped.train_step(copy.deepcopy(batch), optimizer)
    assert {'loss_cls', 'loss_enhance_fidelity'} <= set(losses)
    hook.after_train(SimpleNamespace(model=wrapped))
    assert not model._forward_hooks
    return _parameters(model)


@pytest.mark.usefixtures('group')
def test_a_wrapper_s_settings_change_nothing(folder: Path) -> None:
    """A step of the enhancer comes before the wrapper's own forward."""
    cfg = _two_keys(folder)
    source = MODELS.build(cfg.model)
    source.spare = torch.nn.Linear(1, 1)  # gets no gradient
    data = list(itertools.islice(Runner.build_dataloader(cfg.train_dataloader), 3))
    plain = copy.deepcopy(source)
    wanted = _three_steps(plain, plain, data)
    for unused in (False, True):
        # With torch 2.4 the wrapper overwrites buffers that the gradient still needs.
        for broadcast in (False, not torch.__version__.startswith('2.4.')):
            model = copy.deepcopy(source)
            if not unused:
                del model.spare
            wrapped = MMDistributedDataParallel(
                model, broadcast_buffers=broadcast, find_unused_parameters=unused
            )
            found = _three_steps(model, wrapped, data)
            _assert_close({**wanted, **found}, wanted)
    name = f'{ENHANCER}out_conv.bias'
    assert (wanted[name] - source.get_parameter(name)).abs().max() > 1e-3


JOINT = sorted((ROOT / 'configs').rglob('*sci-joint*.py'))


def test_there_are_joint_configs() -> None:
    assert len(JOINT) >= 2


@pytest.mark.parametrize('path', JOINT, ids=lambda path: path.stem)
def test_the_enhancer_has_a_learning_rate_of_its_own(folder: Path, path: Path) -> None:
    model = MODELS.build(_two_keys(folder).model)
    joint = load_config(str(path))
    base = load_config(str(path.with_name(path.name.replace('_sci-joint', ''))))
    found, before = (
        _rates(model, build_optim_wrapper(model, cfg.optim_wrapper)) for cfg in (joint, base)
    )
    ours = {name: found.pop(name) for name in list(found) if name.startswith(ENHANCER)}
    assert len(ours) == 8
    for rate, decay in ours.values():
        assert rate == pytest.approx(0.1 * base.optim_wrapper.optimizer.lr)
        assert decay == 0
    assert found == {name: before[name] for name in found}  # the host's, multipliers too


def _rates(model: nn.Module, wrapper: OptimWrapper) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter, by name."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {
        names[id(value)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for value in group['params']
    }
