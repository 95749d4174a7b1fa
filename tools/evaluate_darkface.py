"""Evaluate a folder of DARK FACE submission files, whichever tool wrote them.

    sci-plugins evaluate-darkface PRED_DIR data/DarkFace --split regdet_test \\
        --json result.json
    sci-plugins evaluate-darkface PRED_DIR data/DarkFace/label --strict

PRED_DIR holds ID.txt files with lines "x1 y1 x2 y2 score" in pixels; GT_DIR is the folder of
the data set or of its labels. darkface/AP is the number of the official tool. A missing file
counts as an image without detections, with a warning; --strict refuses it.
"""

import argparse
import sys

from sci_plugins.utils.cli import HelpFormatter, add_output_arguments, run
from sci_plugins.utils.files import check_outputs, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('pred_dir', help='folder of predictions (ID.txt)')
    parser.add_argument('gt_dir', help='folder of the data set or of its labels')
    add_output_arguments(parser)
    parser.add_argument('--split', metavar='NAME', help='evaluate only the images of this split')
    parser.add_argument(
        '--strict', action='store_true', help='turn warnings into errors (exit code 2)'
    )
    parser.add_argument('--no-coco', action='store_true', help="skip COCO's metrics and AP by size")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folders = [args.pred_dir, args.gt_dir]
    check_outputs(args.json, inputs=folders, overwrite=args.overwrite)
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.evaluate_darkface import evaluate_submission

    result = evaluate_submission(
        args.pred_dir, args.gt_dir, split=args.split, strict=args.strict, coco=not args.no_coco
    )
    for warning in result.warnings():
        print(f'warning: {warning}', file=sys.stderr)
    print(result.to_text())
    if args.json:
        write_json(args.json, result.to_json())


if __name__ == '__main__':
    run(main)
