"""Mean IoU of a folder of predicted label maps, whichever tool wrote them.

    sci-plugins evaluate-segmentation PRED_DIR data/acdc/gt/night/val \\
        --num-classes 19 --classes cityscapes --json result.json
    sci-plugins evaluate-segmentation PRED_DIR LABEL_DIR --num-classes 11

Label maps are PNG files of ids, grey or palette, with the same names below both folders; the
usual suffixes of street data sets are recognised. IoU is accumulated over the set, as in mmseg;
a class that is neither present nor predicted is null and not part of the mean. The JSON file
holds mIoU and IoU/CLASS in percent, unrounded.
"""

import argparse
import re
import sys

from sci_plugins.utils.cli import HelpFormatter, add_output_arguments, run
from sci_plugins.utils.files import check_outputs, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('pred_dir', help='folder of predicted label maps')
    parser.add_argument('gt_dir', help='folder of ground-truth label maps')
    parser.add_argument(
        '--num-classes', type=int, required=True, metavar='N', help='ids are 0 to N - 1'
    )
    add_output_arguments(parser)
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='names of the classes in the order of the ids, or: cityscapes, camvid',
    )
    parser.add_argument(
        '--subset',
        nargs='+',
        metavar='NAME',
        help="classes to average over: names, or 19, 15 or 5 of Cityscapes' "
        '(IAT: 15; figure of the SCI paper: 5)',
    )
    parser.add_argument(
        '--ignore-left-out',
        action='store_true',
        help='ignore pixels whose true class is not in the subset',
    )
    parser.add_argument(
        '--ignore-index',
        type=int,
        default=255,
        metavar='ID',
        help='true id of ignored pixels (default: 255); as a prediction it is wrong',
    )
    parser.add_argument(
        '--pred-suffix', metavar='END', help='suffix of predictions, e.g. _rgb_anon.png'
    )
    parser.add_argument(
        '--gt-suffix', metavar='END', help='suffix of ground truth, e.g. _gt_labelTrainIds.png'
    )
    parser.add_argument(
        '--missing',
        choices=['error', 'wrong', 'skip'],
        default='error',
        help='for ground truth without prediction: fail (the default), count every pixel as '
        'wrong, or skip the image',
    )
    parser.add_argument(
        '--strict', action='store_true', help='turn warnings into errors (exit code 2)'
    )
    parser.add_argument(
        '--records', metavar='FILE', help="write every image's confusion matrix to this .npz"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folders = [args.pred_dir, args.gt_dir]
    check_outputs(args.json, args.records, inputs=folders, overwrite=args.overwrite)
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.evaluate_segmentation import evaluate_segmentation

    subset = args.subset
    if subset and len(subset) == 1 and re.fullmatch(r'\d{1,9}', subset[0]):
        subset = int(subset[0])
    result = evaluate_segmentation(
        args.pred_dir,
        args.gt_dir,
        args.num_classes,
        classes=args.classes,
        subset=subset,
        ignore_left_out=args.ignore_left_out,
        ignore_index=args.ignore_index,
        pred_suffix=args.pred_suffix,
        gt_suffix=args.gt_suffix,
        missing=args.missing,
        strict=args.strict,
        progress=sys.stderr.isatty(),
    )
    for warning in result.warnings():
        print(f'warning: {warning}', file=sys.stderr)
    print(result.to_text())
    if args.records:
        result.records.save(args.records)
    if args.json:
        write_json(args.json, result.to_json())


if __name__ == '__main__':
    run(main)
