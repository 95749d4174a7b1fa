"""Several processes without a GPU: what ``torchrun`` needs on a plain CPU."""

import torch
import torch.distributed
from mmengine.config import Config

from sci_plugins.errors import ConfigError


def use_gloo_without_gpu(cfg: Config) -> None:
    """Start the process group on CPUs, where MMEngine would look for GPUs.

    Does nothing for a single process or on a machine with a GPU. Gradients are
    averaged over the processes by gloo. BatchNorm normalises with the statistics of
    each process's own images, unless ``FrozenNormHook`` freezes them: PyTorch's
    synchronised BatchNorm runs on GPUs only.

    Args:
        cfg: config with ``launcher``; its ``model_wrapper_cfg`` is completed.

    Raises:
        ConfigError: if ``sync_bn`` is asked for, or another launcher than
            ``pytorch`` (torchrun).
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.get('sync_bn') is not None:
        raise ConfigError('sync_bn needs GPUs, and this machine has none: leave it out')
    if launcher != 'pytorch':
        raise ConfigError(
            f'--launcher {launcher} needs GPUs, and this machine has none: use torchrun '
            'and --launcher pytorch'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    # As MMEngine has them where no wrapper is configured.
    wrapper.setdefault('broadcast_buffers', False)
    wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = wrapper | dict(device_ids=None)


def end_processes() -> None:
    """Leave the process group, if there is one, when all processes have come here.

    A process that exits while another still talks to it can be aborted.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
