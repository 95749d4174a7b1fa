"""Does enhancement help? Judge predictions of any framework, raw and enhanced; no model runs.

    sci-plugins compare-predictions --gt instances.json raw=raw.json sci=sci.json
    sci-plugins compare-predictions --gt labels/ --num-classes 19 --classes cityscapes \\
        raw=predictions/raw sci=predictions/sci

Ground truth is COCO's JSON, and predictions are COCO's JSON of results; or both are folders of
label maps (PNG of ids). Writes the tables, intervals, verdicts and report of tools/compare.py.
Guide: docs/compare.md.
"""

import argparse

from sci_plugins.errors import ConfigError
from sci_plugins.utils.cli import HelpFormatter, add_judging_arguments, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('predictions', nargs='+', metavar='NAME=PATH', help='the first is the base')
    parser.add_argument('--gt', required=True, metavar='PATH', help='COCO JSON, or a folder')
    parser.add_argument('--images', metavar='DIR', help='tested images, for thirds by brightness')
    parser.add_argument('--work-dir', default='work_dirs/predictions', help='for all results')
    maps = parser.add_argument_group('label maps')
    maps.add_argument('--num-classes', type=int, metavar='N', help='ids are 0 to N - 1')
    maps.add_argument('--classes', nargs='+', metavar='NAME', help='names, or: cityscapes, camvid')
    maps.add_argument('--ignore-index', type=int, metavar='ID', help='true id (default: 255)')
    maps.add_argument('--pred-suffix', metavar='END', help='e.g. _rgb_anon.png')
    maps.add_argument('--gt-suffix', metavar='END', help='e.g. _gt_labelTrainIds.png')
    parser.add_argument('--metric', help='metric of the verdicts, e.g. COCO_AP')
    add_judging_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    predictions: dict[str, str] = {}
    for text in args.predictions:
        name, _, path = text.partition('=')
        if not (name and path) or name in predictions:
            raise ConfigError(f'expected NAME=PATH with different names, got {text!r}')
        predictions[name] = path
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.compare_predictions import compare_predictions
    from sci_plugins.visualization.report.markdown import tell_comparison

    names = ('num_classes', 'classes', 'ignore_index', 'pred_suffix', 'gt_suffix')
    label_maps = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    comparison = compare_predictions(
        args.gt,
        predictions,
        work_dir=args.work_dir,
        images=args.images,
        base=args.base,
        metric=args.metric,
        resample=args.resample,
        resamples=args.resamples,
        seed=args.seed,
        margin=args.margin,
        correction=args.correction,
        report=not args.no_report,
        **label_maps,
    )
    print(tell_comparison(comparison))
    print(f'written to {args.work_dir}')


if __name__ == '__main__':
    run(main)
