"""Evaluate a config with a checkpoint and write its metrics as JSON.

sci-plugins test CONFIG CHECKPOINT --work-dir work_dirs/test
sci-plugins test sci_plugins::night/NAME.py CHECKPOINT --tta
"""

import argparse
from pathlib import Path

from sci_plugins.utils.cli import TTA_HELP, HelpFormatter, add_common_arguments, run
from sci_plugins.utils.files import check_outputs, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help="config file, or a host's own: mmdet::NAME")
    parser.add_argument('checkpoint', help='checkpoint of the model')
    parser.add_argument('--tta', action='store_true', help=TTA_HELP)
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.config import (
        end_processes,
        load_config_from_args,
        require,
        use_gloo_without_gpu,
        use_tta,
    )
    from sci_plugins.evaluation.comparison import finite_or_none
    from sci_plugins.utils.checkpoint import load_fully, read_checkpoint

    cfg = load_config_from_args(args)
    require(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    if args.tta:
        use_tta(cfg)
    path = Path(cfg.work_dir) / 'metrics.json'
    check_outputs(path)
    content = read_checkpoint(args.checkpoint, trust=args.trust_checkpoint)
    cfg.load_from = args.checkpoint
    use_gloo_without_gpu(cfg)
    from mmengine.dist import is_main_process

    from sci_plugins.engine.naming_runner import NamingRunner

    runner = NamingRunner.from_cfg(cfg)
    load_fully(runner.model, content, args.checkpoint)
    metrics = finite_or_none(runner.test())
    if is_main_process():
        write_json(path, metrics)
        print(f'metrics written to {path}')
    end_processes()


if __name__ == '__main__':
    run(main)
