"""Train any config: a detector, a segmentor, or an enhancer.

sci-plugins train configs/demo/faces_retinanet_tiny.py --work-dir work_dirs/faces
torchrun --nproc-per-node 2 tools/train.py CONFIG --launcher pytorch
"""

import argparse
from typing import Any

from sci_plugins.utils.cli import HelpFormatter, add_common_arguments, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help="config file, or a host's own: mmdet::NAME")
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from the newest checkpoint in the work dir, or from this one',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (needs a GPU)')
    add_common_arguments(parser)
    return parser.parse_args()


def resume(cfg: Any, checkpoint: str) -> None:
    from sci_plugins.engine.hooks.atomic_checkpoint_hook import newest_checkpoint

    found = newest_checkpoint(cfg.work_dir) if checkpoint == 'auto' else checkpoint
    cfg.resume = found is not None
    cfg.load_from = None if found is None else str(found)


def main() -> None:
    args = parse_args()
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.config import (
        check_checkpoints,
        enable_amp,
        end_processes,
        load_config_from_args,
        require,
        use_gloo_without_gpu,
    )

    cfg = load_config_from_args(args)
    require(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    if args.amp:
        enable_amp(cfg)
    if args.resume:
        resume(cfg, args.resume)
    check_checkpoints(cfg)
    use_gloo_without_gpu(cfg)
    from sci_plugins.engine.naming_runner import NamingRunner

    NamingRunner.from_cfg(cfg).train()
    end_processes()


if __name__ == '__main__':
    run(main)
