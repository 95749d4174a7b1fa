"""Does enhancement help? One checkpoint, one image set, without and with.

    python tools/compare.py CONFIG CHECKPOINT
    python tools/compare.py CONFIG CHECKPOINT --variants none gamma clahe \\
        sci/official/medium --darken none 0.05 0.05:0.004 --work-dir work_dirs/night

Works on a plain mmdet or mmseg config as it stands. Writes comparison.md,
comparison.json and pictures/ into the work dir.
"""

import argparse

from sci_plugins.apis.config import add_common_arguments, load_config_from_args
from sci_plugins.apis.enhance import DEFAULT_ENHANCER
from sci_plugins.apis.processes import end_processes, use_gloo_without_gpu
from sci_plugins.evaluation.conditions import parse_condition
from sci_plugins.utils.cli import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help="config file, or a host's own: mmdet::NAME")
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument(
        '--variants',
        nargs='+',
        default=['none', DEFAULT_ENHANCER],
        metavar='ENHANCER',
        help='the first is the base: none, gamma, clahe, histeq, sci/official/medium, '
        "sci/FILE, 'NAME(key=value)', or config for what the config has in front",
    )
    parser.add_argument(
        '--darken',
        nargs='+',
        default=['none'],
        metavar='GAIN[:NOISE]',
        help='also on darkened images: gain and read noise in linear light; none: as is',
    )
    parser.add_argument(
        '--metric', help='the metric of the summary and the verdicts, as in bbox_mAP_50'
    )
    parser.add_argument('--pictures', type=int, default=6, help='how many images to draw')
    parser.add_argument('--input-order', choices=['bgr', 'rgb'], default='bgr')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='keep results that are already in the work dir',
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    conditions = [parse_condition(text) for text in args.darken]
    cfg = load_config_from_args(args)
    use_gloo_without_gpu(cfg)
    # Imported late: --help and a mistyped config need not wait for the hosts.
    from mmengine.dist import is_main_process

    from sci_plugins.apis.compare import compare

    comparison = compare(
        cfg,
        args.checkpoint,
        args.variants,
        conditions=conditions,
        work_dir=cfg.work_dir,
        pictures=args.pictures,
        resume=args.resume,
        trust=args.trust_checkpoint,
        input_order=args.input_order,
        metric=args.metric,
    )
    if is_main_process():
        print(comparison.to_markdown())
        print(f'written to {cfg.work_dir}: comparison.md, comparison.json, pictures/')
    end_processes()


if __name__ == '__main__':
    run(main)
