"""Measure the quality of enhanced images: a table of PSNR, SSIM, EME and more.

    sci-plugins evaluate-enhancement LOW --reference NORMAL \\
        --variants none sci/official/medium sci/sci_plugins/lol
    sci-plugins evaluate-enhancement PHOTOS --pictures out --json quality.json

PSNR and SSIM need references.
"""

import argparse
import sys

from sci_plugins.utils.cli import HelpFormatter, add_device_argument, add_output_arguments, run
from sci_plugins.utils.files import check_outputs, write_json
from sci_plugins.weights import DEFAULT_ENHANCER


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('low', metavar='LOW', help='folder of dark photographs')
    parser.add_argument(
        '--reference',
        metavar='NORMAL',
        help='folder of the same scenes in good light, same file names',
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        default=['none', DEFAULT_ENHANCER],
        metavar='ENHANCER',
        help="none, gamma, clahe, histeq, sci/official/medium, sci/FILE, 'NAME(key=…)'",
    )
    parser.add_argument(
        '--niqe', action='store_true', help='also measure NIQE (needs pyiqa and its parameters)'
    )
    parser.add_argument(
        '--max-size', type=int, metavar='PIXELS', help='shrink larger images to this longer side'
    )
    parser.add_argument(
        '--pictures', metavar='DIR', help='write one sheet per image with all variants'
    )
    add_output_arguments(parser, 'numbers of all images')
    add_device_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folders = [each for each in (args.low, args.reference) if each]
    check_outputs(args.json, inputs=folders, overwrite=args.overwrite)
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.evaluate import METRIC_NAMES, evaluate_enhancement

    table = evaluate_enhancement(
        args.low,
        args.reference,
        args.variants,
        metrics=[*METRIC_NAMES, *(['NIQE'] if args.niqe else [])],
        max_size=args.max_size,
        pictures=args.pictures,
        overwrite=args.overwrite,
        device=args.device,
        progress=sys.stderr.isatty(),
    )
    print(table.to_text())
    if args.json:
        write_json(args.json, table.to_json())


if __name__ == '__main__':
    run(main)
