"""Evaluate a folder of official DARK FACE submission files, whoever wrote them.

    python tools/evaluate_darkface.py PRED_DIR data/DarkFace --split regdet_test \
        --json result.json

PRED_DIR holds ID.txt files with lines "x1 y1 x2 y2 score" in pixels; GT_DIR is the data set's
folder or its label/. darkface/AP is the number of the official tool. A missing file is no
detections: said aloud, refused with --strict.
"""

import argparse
import sys

from sci_plugins.utils.cli import run
from sci_plugins.utils.files import write_atomically


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pred_dir', help='folder of predictions, ID.txt')
    parser.add_argument('gt_dir', help='folder of the data set, or of its labels')
    parser.add_argument('--json', metavar='FILE', help='also write the result here')
    parser.add_argument('--split', metavar='NAME', help='evaluate only its images')
    parser.add_argument(
        '--strict', action='store_true', help='refuse whatever is odd, with exit code 2'
    )
    parser.add_argument('--no-coco', action='store_true', help="leave COCO's numbers and sizes out")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.evaluate_darkface import evaluate_submission

    result = evaluate_submission(
        args.pred_dir, args.gt_dir, split=args.split, strict=args.strict, coco=not args.no_coco
    )
    for warning in result.warnings():
        print(f'warning: {warning}', file=sys.stderr)
    print(result.to_text())
    if args.json:
        write_atomically(args.json, result.to_json())


if __name__ == '__main__':
    run(main)
