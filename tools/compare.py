"""Does enhancement help? Compare enhancers and trained models on one image set.

    sci-plugins compare CONFIG CHECKPOINT
    sci-plugins compare CONFIG CHECKPOINT --variants none gamma clahe \\
        sci/official/medium --darken none 0.05 0.05:0.004 --work-dir work_dirs/night
    sci-plugins compare CONFIG CHECKPOINT --variants none sci/official/medium \\
        --models retrained=CONFIG2,CHECKPOINT2 joint=CONFIG3,CHECKPOINT3

Takes any mmdet or mmseg config unchanged. A paired bootstrap compares each variant and model
with the base. Writes report.html, comparison.md, comparison.json, records/ and pictures/ to
the work dir. Guide: docs/compare.md.
"""

import argparse
from pathlib import Path
from typing import Any

from sci_plugins.utils.cli import (
    TTA_HELP,
    HelpFormatter,
    add_common_arguments,
    add_judging_arguments,
    add_verbose_argument,
    quiet_hosts,
    run,
)
from sci_plugins.weights import DEFAULT_ENHANCER


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', help="config file, or a host's own: mmdet::NAME")
    parser.add_argument('checkpoint', help='weights of the model; none: it has its own (ONNX)')
    parser.add_argument(
        '--variants',
        nargs='*',
        default=['none', DEFAULT_ENHANCER],
        metavar='ENHANCER',
        help='the first is the base: none, gamma, clahe, histeq, lime, sci/official/medium, '
        'sci/FILE, adaptive, adaptive/FILE, cautious, gated/NAME to enhance only dark images '
        "(limits: docs/compare.md), 'NAME(key=value)', 'my_file.MyEnhancer(key=value)' of your "
        "own, config for the config's own enhancer, 'select(NAME)' to keep of raw and enhanced the "
        "prediction that the network is surer of, 'merge(NAME)' to merge both predictions, "
        "'before(NAME)' to enhance before any resize, also in 'merge(before(NAME))', or folder/DIR "
        'for images that another program has enhanced, with the same names and sizes',
    )
    parser.add_argument(
        '--models',
        nargs='+',
        default=[],
        metavar='LABEL=CONFIG,CHECKPOINT',
        help='other trained models, run as configured on the test set of CONFIG; with an empty '
        '--variants these alone',
    )
    parser.add_argument(
        '--darken',
        nargs='+',
        default=['none'],
        metavar='GAIN[:NOISE][:KEY=VALUE]',
        help='test on darkened images: gain and read noise in linear light, then any of '
        'shot=VARIANCE, uneven=smooth|lamps|headlights|vignette, wb=RED,BLUE, jpeg=QUALITY; '
        'none: unchanged',
    )
    parser.add_argument('--tta', action='store_true', help=TTA_HELP)
    parser.add_argument('--metric', help='metric of the summary and the verdicts, e.g. bbox_mAP_50')
    parser.add_argument('--pictures', type=int, default=6, help='how many images to draw')
    parser.add_argument(
        '--changed',
        type=int,
        default=4,
        help='how many images to draw of those that gained most and of those that lost most, '
        'with what each variant sees and finds (up to 4)',
    )
    parser.add_argument('--input-order', choices=['bgr', 'rgb'], default='bgr')
    parser.add_argument(
        '--input-max', type=float, default=255, help='white of images that are not 8 bits: 65535'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='keep the results in the work dir, even of variants and conditions not named now; '
        'new bootstrap settings only recompute the intervals',
    )
    add_judging_arguments(parser)
    add_verbose_argument(parser)
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

    cfg = load_config_from_args(args)
    if args.tta:
        require(cfg, 'model', 'test_dataloader')
        use_tta(cfg)
    use_gloo_without_gpu(cfg)
    from mmengine.dist import is_main_process

    with quiet_hosts(Path(cfg.work_dir) / 'console.log', args.verbose):
        comparison = _compare(cfg, args)
    if is_main_process():
        from sci_plugins.visualization.report.markdown import tell_comparison

        print(tell_comparison(comparison))
        files = 'comparison.md, comparison.json, records/, pictures/'
        report = '' if args.no_report else 'report.html, '
        print(f'written to {cfg.work_dir}: {report}{files}')
    end_processes()


def _compare(cfg: Any, args: argparse.Namespace) -> Any:
    from sci_plugins.apis.compare import compare, parse_models
    from sci_plugins.evaluation.conditions import parse_condition

    return compare(
        cfg,
        args.checkpoint,
        args.variants,
        models=parse_models(args.models, tta=args.tta),
        base=args.base,
        conditions=[parse_condition(text) for text in args.darken],
        work_dir=cfg.work_dir,
        pictures=args.pictures,
        changed=args.changed,
        resume=args.resume,
        trust=args.trust_checkpoint,
        input_order=args.input_order,
        input_max=args.input_max,
        metric=args.metric,
        resample=args.resample,
        resamples=args.resamples,
        seed=args.seed,
        margin=args.margin,
        correction=args.correction,
        report=not args.no_report,
    )


if __name__ == '__main__':
    run(main)
