"""Configs and processes of the command line tools, also under ``torchrun``."""

import argparse
import copy
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config

from sci_plugins import errors
from sci_plugins.compat import make_printable
from sci_plugins.errors import ConfigError, SciPluginsError, check_at_least
from sci_plugins.evaluation.conditions import loading_pipelines
from sci_plugins.registry import HOSTS, require_host, scope_of, type_name_of
from sci_plugins.utils.checkpoint import use_safe_loading
from sci_plugins.utils.files import shipped

#: Processes that load data, at most.
MAX_LOADERS = 256
#: Minutes that one process waits for another, by default and at most.
TIMEOUT, MAX_TIMEOUT = 10.0, 100_000.0
_RANK_VARIABLES = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')
# Places in a config that hold further settings, if they are there at all.
_SECTIONS = (
    *('model', 'model.data_preprocessor', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper'),
    *('train_dataloader', 'val_dataloader', 'test_dataloader', 'env_cfg', 'env_cfg.dist_cfg'),
    *(f'{each}_dataloader.dataset' for each in ('train', 'val', 'test')),
    *('default_hooks', 'randomness', 'optim_wrapper.optimizer', 'log_processor', 'visualizer'),
)
# Place -> the smallest allowed value of each number there; an int asks for an int.
_LOADER: dict[str, float] = dict(batch_size=1, num_workers=0)
_NUMBERS: dict[str, dict[str, float]] = {
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'), _LOADER),
    'train_cfg': dict(max_epochs=1, max_iters=1, val_interval=1),
    'optim_wrapper': dict(accumulative_counts=1),
    'optim_wrapper.optimizer': dict(lr=0.0, weight_decay=0.0),
    'optim_wrapper.clip_grad': dict(max_norm=0.0),
}


def load_config(path: str, cfg_options: dict[str, Any] | None = None) -> Config:
    """Read a config file or a host's own config.

    Args:
        path: file, or name of a host's config (``mmdet::retinanet/...``), which ``_base_`` may name
            too, or of one of ours (``sci_plugins::darkface/...``).
        cfg_options: settings to override, as dotted keys.

    Raises:
        FileNotFoundError: if there is no such file.
        ConfigError: if the config or an option is not valid.
        MissingDependencyError: if its host, mmdet or mmseg, is not installed.
    """
    for key in cfg_options or {}:
        if not key.partition('.')[0].isidentifier():
            raise ConfigError(f'--cfg-options: {key!r} is not the name of a setting')
    if path.startswith('sci_plugins::'):
        path = _find_own(path)
    scope, is_host_name, _ = path.partition('::')
    if is_host_name:
        if scope not in HOSTS:  # MMEngine would try to install it with pip
            known = f'sci_plugins, {", ".join(HOSTS)}'
            raise ConfigError(f'config {path}: unknown host {scope!r}; known: {known}')
        require_host(f'config {path}', scope)
    elif not Path(path).is_file():
        raise FileNotFoundError(f'config not found: {path}')
    try:
        with ExitStack() as stack:
            # The maintained mmseg is not the package `mmsegmentation`, which MMEngine looks for.
            stack.callback(MODULE2PACKAGE.update, dict(MODULE2PACKAGE))
            MODULE2PACKAGE.update({name: name for name in HOSTS})
            cfg = get_config(path) if is_host_name else Config.fromfile(path)
        if cfg_options:
            # A copy: a `_delete_` in it is taken out when it is met.
            cfg.merge_from_dict(copy.deepcopy(cfg_options))
        make_printable(cfg)
        scope = scope_of(cfg)  # a pure-Python config imports its host here
    except (SciPluginsError, OSError):
        raise
    except Exception as error:  # a config is Python, so it can raise anything
        cause = errors.tell_cause(error)
        if isinstance(error, SyntaxError):  # its text names MMEngine's temporary copy of the file
            cause = f'line {error.lineno}: {error.msg}'
        elif isinstance(error, ImportError) and 'custom modules' in cause:
            cause = f'custom_imports: {_tell_imports(error)}'
        raise ConfigError(f'cannot read config {path}: {cause}') from error
    if scope in HOSTS:
        require_host(f'config {path}', scope)
    _check_settings(cfg)
    return cfg


def _find_own(name: str) -> str:
    """The file of a config that comes with this package."""
    root = shipped('configs')
    if (path := root / name.partition('::')[2]).is_file():
        return str(path)
    known = [f'sci_plugins::{each.relative_to(root).as_posix()}' for each in root.rglob('*.py')]
    advice = errors.did_you_mean(name, known, '; see sci-plugins configs')
    raise FileNotFoundError(f'config not found: {name}{advice}')


def _check_settings(cfg: Config) -> None:
    """Refuse settings that would end a run inside another package, or spoil it."""
    for place in _SECTIONS:
        section = _find(cfg, place)
        if not isinstance(section, Mapping | None):
            raise ConfigError(f'config {cfg.filename}: {place} must be a dict, got {section!r}')
    for place in ('val_evaluator', 'test_evaluator'):
        if isinstance(text := cfg.get(place), str):
            wish = 'must be a dict or list'
            raise ConfigError(f'config {cfg.filename}: {place} {wish}, got {text!r}')
    for place, numbers in _NUMBERS.items():
        section = _find(cfg, place) or {}
        for name in numbers.keys() & section.keys():
            most = MAX_LOADERS if name == 'num_workers' else 2**31 - 1
            check_at_least(numbers[name], place, most=most, **{name: section[name]})
    if (seed := _find(cfg, 'randomness.seed')) is not None:
        errors.check_seed(seed, 'randomness')


def _find(cfg: Config, place: str) -> Any:
    """What is at a place such as ``'model.data_preprocessor'``; ``None`` if nothing is."""
    node: Any = cfg
    for key in place.split('.'):
        node = node.get(key) if isinstance(node, Mapping | Config) else None
    return node


def _tell_imports(error: BaseException) -> str:
    """The module that could not be imported, and why: MMEngine hides both behind a third error."""
    chain = [error]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    return '; '.join(map(errors.first_line, chain[1:3]))


def load_config_from_args(args: argparse.Namespace) -> Config:
    """The config of a tool's arguments with ``work_dir`` and ``launcher``; makes loading safe.

    Raises:
        ConfigError: if the launcher did not start this process, or the timeout is out of range.
    """
    variable = _RANK_VARIABLES.get(args.launcher)
    if variable and variable not in os.environ:
        told = f'did not start this process: {variable} is not set'
        raise ConfigError(f'--launcher {args.launcher} {told}')
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    _set_timeout(cfg, args.timeout)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(str(cfg.filename)).stem)
    use_safe_loading(trust=args.trust_checkpoint)
    return cfg


def _set_timeout(cfg: Config, minutes: float | None) -> None:
    """MMEngine hands ``env_cfg.dist_cfg`` to the process group; its time is in seconds."""
    if minutes is not None:
        check_at_least(0.01, most=MAX_TIMEOUT, timeout=minutes)
    if cfg.launcher == 'none':
        return
    environment = cfg.get('env_cfg') or {}
    settings = dict(environment.get('dist_cfg') or dict(backend='nccl'))
    seconds = settings.get('timeout', 60 * TIMEOUT) if minutes is None else 60 * minutes
    check_at_least(0.1, 'env_cfg.dist_cfg', most=60 * MAX_TIMEOUT, timeout=seconds)
    cfg.env_cfg = dict(environment, dist_cfg=dict(settings, timeout=seconds))


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision (``--amp``); ConfigError without a GPU or for another wrapper."""
    if not torch.cuda.is_available():
        raise ConfigError('--amp needs a GPU, and this machine has none')
    kind = type_name_of(cfg.optim_wrapper) or 'OptimWrapper'
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ConfigError(f'--amp replaces OptimWrapper, but the config uses {kind}')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_tta(cfg: Config) -> None:
    """Test with ``tta_model`` and ``tta_pipeline`` (``--tta``); ConfigError if one is missing."""
    for key in ('tta_model', 'tta_pipeline'):
        if cfg.get(key) is None:
            raise ConfigError(f'--tta needs {key}, which config {cfg.filename} does not have')
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    for pipeline in loading_pipelines(cfg.test_dataloader.dataset):
        pipeline[:] = copy.deepcopy(cfg.tta_pipeline)


def require(cfg: Config, *keys: str) -> None:
    """Refuse a config that lacks a key that a tool needs, by a :class:`ConfigError`."""
    for key in keys:
        if cfg.get(key) is None:
            raise ConfigError(f'config {cfg.filename} has no {key}, which this tool needs')


def check_checkpoints(cfg: Config) -> None:
    """Refuse by a ConfigError to write over a checkpoint that is not of an earlier run."""
    if cfg.get('resume'):
        return
    start, advice = os.path.realpath(str(cfg.get('load_from'))), 'choose another --work-dir'
    for path in Path(cfg.work_dir).glob('*_*.pth'):
        if not re.fullmatch(r'(epoch|iter|best)_.+', path.stem) or not path.is_file():
            continue
        if os.path.realpath(path) == start:
            raise ConfigError(f'load_from: this run may write over {path}: {advice}')
        with open(path, 'rb') as file:
            if b'mmengine_version' not in file.read(2**20):
                raise ConfigError(f'{path} exists and is not of an earlier run: {advice}')


def use_gloo_without_gpu(cfg: Config) -> None:
    """Start the process group on CPUs, where MMEngine would look for GPUs; else do nothing.

    BatchNorm uses the statistics of each process's own images unless ``FrozenNormHook`` freezes
    them: PyTorch's synchronised one needs GPUs. The config's ``model_wrapper_cfg`` is completed.

    Raises:
        ConfigError: if ``sync_bn`` is set, or the launcher is not ``pytorch`` (torchrun).
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.get('sync_bn') is not None:
        raise ConfigError('sync_bn needs GPUs, and this machine has none: leave it out')
    if launcher != 'pytorch':
        advice = 'use torchrun and --launcher pytorch'
        raise ConfigError(f'--launcher {launcher} needs GPUs, and this machine has none: {advice}')
    if not torch.distributed.is_initialized():
        seconds = cfg.env_cfg.dist_cfg.timeout
        torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=seconds))
    # MMEngine's defaults for a config without wrapper.
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    wrapper |= dict(find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = wrapper | (cfg.get('model_wrapper_cfg') or {}) | dict(device_ids=None)


def end_processes() -> None:
    """Leave the process group once all are here: whoever exits before can abort another."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
