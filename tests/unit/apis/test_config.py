"""Reading configs, one line for each mistake; running one in several processes."""

import argparse
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import CheckpointLoader

from sci_plugins import registry
from sci_plugins.apis import config
from sci_plugins.apis.config import (
    enable_amp,
    end_processes,
    load_config,
    load_config_from_args,
    require,
    use_gloo_without_gpu,
    use_tta,
)
from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.utils.cli import add_common_arguments


@pytest.fixture(autouse=True)
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages that MMEngine would pip install where they are missing; it never does."""
    names: list[str] = []
    monkeypatch.setattr('mmengine.hub.hub.install_package', names.append)
    return names


def _write(folder: Path, text: str, name: str = 'user.py') -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_config_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "a = 1\nb = dict(c=[1, 2])\nd = '{{ fileBasenameNoExtension }}'\n")
    cfg = load_config(path, {'b.c': [3], 'new.key': 'x'})
    assert (cfg.a, cfg.b.c, cfg.d, cfg.new.key) == (1, [3], 'user', 'x')
    assert cfg.filename == path


def test_a_config_with_a_base(tmp_path: Path) -> None:
    _write(tmp_path, 'a = 1\nb = dict(c=2, d=3)\n', 'base.py')
    cfg = load_config(_write(tmp_path, "_base_ = 'base.py'\nb = dict(c=5)\n"))
    assert (cfg.a, cfg.b) == (1, dict(c=5, d=3))


def test_a_host_s_own_config() -> None:
    cfg = load_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', {'data_root': 'x'})
    assert cfg.model.type == 'RetinaNet'
    assert Path(cfg.filename).name == 'retinanet_r50_fpn_1x_coco.py'
    assert cfg.data_root == 'x'
    assert 'filename' not in cfg  # no key of ours in the user's settings


def test_a_missing_file(tmp_path: Path) -> None:
    for path in (str(tmp_path / 'no.py'), str(tmp_path)):
        with pytest.raises(FileNotFoundError, match='config not found') as caught:
            load_config(path)
        assert path in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'cause'),
    [
        ('a = 1\nb = (\n', 'line 2'),
        ('a = 1\n  b = 2\n', 'line 2'),
        ("model = dict(type='X'\nb = 1\n", 'line 1'),
        ('a = unknown_name\n', 'unknown_name'),
        ('a = dict(b=1)["c"]\n', "KeyError: 'c'"),
        ('a = 1 / 0\n', 'division by zero'),
        (
            "custom_imports = dict(imports=['no_such_package'])\n",
            "Failed to import no_such_package; No module named 'no_such_package'",
        ),
        ('train_cfg = 1\n', 'train_cfg must be a dict, got 1'),
        ("model = dict(data_preprocessor='x')\n", "data_preprocessor must be a dict, got 'x'"),
        (
            "test_evaluator = 'IoUMetric'\n",
            "test_evaluator must be a dict or list, got 'IoUMetric'",
        ),
        ("_base_ = 'no_such_base.py'\n", 'no_such_base.py'),
        ("raise RuntimeError('one\\ntwo')\n", 'RuntimeError: one'),
        ('_base_ = 3\n', 'user.py'),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, cause: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises((ConfigError, OSError)) as caught:
        load_config(path)
    message = str(caught.value)
    assert cause in message
    assert '\n' not in message
    if 'no_such_base' not in text:
        assert path in message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('test_dataloader = dict(batch_size=0)', 'test_dataloader: batch_size must be at least 1'),
        ('val_dataloader = dict(num_workers=257)', 'num_workers must be at most 256, got 257'),
        (
            "optim_wrapper = dict(optimizer=dict(lr='x'))",
            "lr must be a number of at least 0, got 'x'",
        ),
        (
            'optim_wrapper = dict(clip_grad=dict(max_norm=-1))',
            'max_norm must be at least 0, got -1',
        ),
        ('train_cfg = dict(max_epochs=0)', 'train_cfg: max_epochs must be at least 1, got 0'),
        ('randomness = dict(seed=2**32)', 'randomness: seed must be at most 4294967295'),
    ],
)
def test_numbers_out_of_range(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, f'{text}\n'))
    assert message in str(caught.value)


def test_numbers_in_range_and_sections_that_are_not_there(tmp_path: Path) -> None:
    text = """
train_dataloader = dict(batch_size=1, num_workers=0)
val_dataloader = None
optim_wrapper = dict(optimizer=dict(lr=0, weight_decay=1e-4), clip_grad=None)
train_cfg = dict(max_iters=5)
randomness = dict(seed=None)
model = dict(type='X', data_preprocessor=None)
"""
    assert load_config(_write(tmp_path, text)).train_cfg.max_iters == 5


@pytest.mark.parametrize('name', ['user.txt', 'user'])
def test_files_of_another_kind(tmp_path: Path, name: str) -> None:
    with pytest.raises((ConfigError, OSError), match='py'):
        load_config(_write(tmp_path, 'a = 1\n', name))


@pytest.mark.parametrize(('name', 'text'), [('a.json', '{"a": '), ('a.yml', 'a: [1\nb: {')])
def test_broken_files_of_other_formats(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_config(_write(tmp_path, text, name))


def test_options_are_left_as_they_are(tmp_path: Path) -> None:
    """Options of a board are used for each of its cells."""
    path = tmp_path / 'config.py'
    path.write_text("model = dict(type='ToyModel', left=1)\n")
    options = {'model': {'_delete_': True, 'type': 'Other'}}
    for _ in range(2):
        assert load_config(str(path), options).model == dict(type='Other')


@pytest.mark.parametrize('options', [{'a.b': 1}, {'c.5': 1}])
def test_options_that_do_not_fit(tmp_path: Path, options: dict) -> None:
    path = _write(tmp_path, 'a = 1\nc = [1, 2]\n')
    with pytest.raises(ConfigError, match=r'user\.py') as caught:
        load_config(path, options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('key', ['+a', 'a-b', '', '-', '1.a'])
def test_options_that_are_no_names(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match='not the name of a setting') as caught:
        load_config(_write(tmp_path, 'a = 1\n'), {key: 1})
    assert repr(key) in str(caught.value)


SEGMENTOR = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'


def test_mmseg_s_own_config_by_name_and_as_a_base(tmp_path: Path, asked_for: list[str]) -> None:
    """Whichever package brings mmseg: it is asked for as a module, which is there.

    ``mmsegmentation`` would be installed over the maintained package. MMEngine's table
    of packages stays.
    """
    for path in (SEGMENTOR, _write(tmp_path, f'_base_ = {SEGMENTOR!r}\n')):
        cfg = load_config(path)
        assert cfg.model.decode_head.type == 'PSPHead'
        assert cfg.default_scope == 'mmseg'
    assert MODULE2PACKAGE['mmseg'] == 'mmsegmentation'
    assert asked_for == ['mmseg']


def test_a_scope_that_is_no_host_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(config, 'get_config', called.append)
    with pytest.raises(ConfigError, match="unknown host 'mmagic'; known: sci_plugins, mmdet"):
        load_config('mmagic::srcnn/srcnn_x4k915_1xb16-1000k_div2k.py')
    assert called == []


@pytest.mark.parametrize('name', ['mmdet::nothing/at_all.py', 'mmdet::', 'nohost::a.py'])
def test_unknown_names_of_hosts(name: str) -> None:
    with pytest.raises((ConfigError, OSError)) as caught:
        load_config(name)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('by_name', [False, True])
def test_a_missing_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str, by_name: bool
) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    path = _write(tmp_path, f"default_scope = '{scope}'\n")
    with pytest.raises(MissingDependencyError) as caught:
        load_config(f'{scope}::some/config.py' if by_name else path)
    message = str(caught.value)
    assert 'pip install "sci_plugins[onedl]"' in message
    assert scope in message
    assert '\n' not in message


def _parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture(autouse=True)
def _undo_safe_loading(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    yield
    torch.serialization.clear_safe_globals()


def test_the_work_dir(tmp_path: Path) -> None:
    path = _write(tmp_path, 'a = 1\n')
    assert load_config_from_args(_parse(path)).work_dir == os.path.join('work_dirs', 'user')
    assert load_config_from_args(_parse(path, '--work-dir', 'x')).work_dir == 'x'
    path = _write(tmp_path, "work_dir = 'mine'\n")
    assert load_config_from_args(_parse(path)).work_dir == 'mine'
    assert load_config_from_args(_parse(path, '--work-dir', 'x')).work_dir == 'x'


def test_options_and_launcher(tmp_path: Path) -> None:
    path = _write(tmp_path, 'a = dict(b=1)\n')
    cfg = load_config_from_args(_parse(path, '--cfg-options', 'a.b=2', 'c=[1,2]'))
    assert (cfg.a.b, cfg.c, cfg.launcher) == (2, [1, 2], 'none')


@pytest.mark.parametrize('option', ['a', '.', ''])
def test_options_without_a_value(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _parse('user.py', '--cfg-options', 'b=1', option)
    assert caught.value.code == 2
    assert 'argument --cfg-options: expected KEY=VALUE' in capsys.readouterr().err


@pytest.mark.parametrize(('launcher', 'variable'), [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID')])
def test_a_launcher_that_started_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, variable: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    args = _parse(_write(tmp_path, 'a = 1\n'), '--launcher', launcher)
    with pytest.raises(ConfigError, match=variable):
        load_config_from_args(args)
    monkeypatch.setenv(variable, '0')
    assert load_config_from_args(args).launcher == launcher


@pytest.mark.parametrize(
    ('text', 'options', 'wanted'),
    [
        ('a = 1', [], dict(backend='nccl', timeout=600)),
        (
            'env_cfg = dict(cudnn_benchmark=True)',
            ['--timeout', '0.5'],
            dict(backend='nccl', timeout=30),
        ),
        ("env_cfg = dict(dist_cfg=dict(backend='gloo'))", [], dict(backend='gloo', timeout=600)),
        ('env_cfg = dict(dist_cfg=dict(timeout=7200))', [], dict(timeout=7200)),
        ('env_cfg = dict(dist_cfg=dict(timeout=7200))', ['--timeout', '2'], dict(timeout=120)),
    ],
)
def test_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: list[str], wanted: dict
) -> None:
    monkeypatch.setenv('RANK', '0')
    path = _write(tmp_path, f'{text}\n')
    cfg = load_config_from_args(_parse(path, '--launcher', 'pytorch', *options))
    assert cfg.env_cfg.dist_cfg == wanted
    assert cfg.env_cfg.get('cudnn_benchmark') == (True if 'cudnn' in text else None)


def test_a_single_process_has_no_timeout(tmp_path: Path) -> None:
    assert 'env_cfg' not in load_config_from_args(_parse(_write(tmp_path, 'a = 1\n')))


@pytest.mark.parametrize('value', ['0', '-1', 'nan', 'inf', '1e9'])
def test_a_timeout_that_is_none(tmp_path: Path, value: str) -> None:
    args = _parse(_write(tmp_path, 'a = 1\n'), f'--timeout={value}')
    with pytest.raises(ConfigError, match='timeout must be'):
        load_config_from_args(args)


def test_tools_load_safely(tmp_path: Path) -> None:
    load_config_from_args(_parse(_write(tmp_path, 'a = 1\n')))
    assert os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] == '1'
    path = _write(tmp_path, 'a = 1\n')
    load_config_from_args(_parse(path, '--trust-checkpoint'))
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_amp_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match='--amp needs a GPU'):
        enable_amp(Config(dict(optim_wrapper=dict(type='OptimWrapper'))))


def test_amp_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD'))))
    enable_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=512.0)))
    enable_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0
    for kind in (dict(), dict(type=OptimWrapper), dict(type='mmengine.OptimWrapper')):
        cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD'), **kind)))
        enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper'


def test_amp_with_another_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    with pytest.raises(ConfigError, match='ApexOptimWrapper'):
        enable_amp(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))))


def test_tta_wraps_the_model_and_every_pipeline() -> None:
    steps = [dict(type='TestTimeAug', transforms=[])]
    parts = [dict(type='A', pipeline=[dict(type='Load')]) for _ in range(2)]
    dataset = dict(type='ConcatDataset', datasets=parts)
    cfg = Config(
        dict(
            model=dict(type='M'),
            test_dataloader=dict(dataset=dataset),
            tta_model=dict(type='T', tta_cfg=1),
            tta_pipeline=steps,
        )
    )
    use_tta(cfg)
    assert cfg.model == dict(type='T', tta_cfg=1, module=dict(type='M'))
    pipelines = [part.pipeline for part in cfg.test_dataloader.dataset.datasets]
    assert pipelines == [steps, steps]
    pipelines[0].append(dict(type='More'))
    assert len(cfg.tta_pipeline) == len(pipelines[1]) == 1


def test_require(tmp_path: Path) -> None:
    cfg = load_config(_write(tmp_path, "model = dict(type='X')\ntest_cfg = None\n"))
    require(cfg, 'model')
    for key in ('test_cfg', 'test_dataloader'):
        with pytest.raises(ConfigError) as caught:
            require(cfg, 'model', key)
        assert f'has no {key}' in str(caught.value)
        assert 'user.py' in str(caught.value)


@pytest.fixture()
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Backends of the process groups that were started; there is no GPU."""
    backends: list[str] = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: bool(backends))

    def start(backend: str, timeout: timedelta) -> None:
        assert timeout == timedelta(seconds=90)
        backends.append(backend)

    monkeypatch.setattr(torch.distributed, 'init_process_group', start)
    return backends


ENVIRONMENT = dict(dist_cfg=dict(backend='nccl', timeout=90))


@pytest.mark.parametrize('settings', [dict(), dict(launcher='none')])
def test_a_single_process(started: list[str], settings: dict[str, Any]) -> None:
    cfg = Config(dict(settings))
    use_gloo_without_gpu(cfg)
    assert started == []
    assert 'model_wrapper_cfg' not in cfg


def test_with_a_gpu(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config(dict(launcher='pytorch', sync_bn='torch'))
    use_gloo_without_gpu(cfg)
    assert started == []
    assert 'model_wrapper_cfg' not in cfg


def test_torchrun(started: list[str]) -> None:
    cfg = Config(dict(launcher='pytorch', find_unused_parameters=True, env_cfg=ENVIRONMENT))
    use_gloo_without_gpu(cfg)
    use_gloo_without_gpu(cfg)
    assert started == ['gloo']
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )


def test_a_wrapper_of_the_users(started: list[str]) -> None:
    wrapper = dict(type='MMSeparateDistributedDataParallel', broadcast_buffers=True)
    cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=wrapper, env_cfg=ENVIRONMENT))
    use_gloo_without_gpu(cfg)
    assert cfg.model_wrapper_cfg == wrapper | dict(find_unused_parameters=False, device_ids=None)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(launcher='pytorch', sync_bn='torch'), 'sync_bn needs GPUs'),
        (dict(launcher='slurm'), '--launcher slurm needs GPUs'),
    ],
)
def test_what_needs_gpus(started: list[str], settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        use_gloo_without_gpu(Config(settings))
    assert started == []


def test_all_leave_together(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ('barrier', 'destroy_process_group'):
        monkeypatch.setattr(torch.distributed, name, lambda name=name: calls.append(name))
    end_processes()
    assert calls == []
    started.append('gloo')
    end_processes()
    assert calls == ['barrier', 'destroy_process_group']
