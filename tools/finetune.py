"""Fine-tune an enhancer on one scene: an image or a folder, a hundred steps.

    sci-plugins finetune night.jpg --out night.pth
    sci-plugins finetune PHOTOS --out night.pth --enhancer sci/official/medium \\
        --until 0.01
    sci-plugins enhance PHOTOS --out BRIGHT --enhancer sci/night.pth

Writes the weights and, beside them, a picture, night_before-after.jpg.
"""

import argparse
import sys

from sci_plugins.utils.cli import HelpFormatter, add_device_argument, run
from sci_plugins.weights import DEFAULT_ENHANCER


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image file or folder')
    parser.add_argument('--out', required=True, metavar='FILE', help='weights file to write')
    parser.add_argument(
        '--enhancer',
        default=DEFAULT_ENHANCER,
        help="starting point: 'sci/official/medium', 'sci/FILE.pth' (default: %(default)s)",
    )
    parser.add_argument(
        '--steps', type=int, metavar='N', help='default: 100; with --until at most 1000'
    )
    parser.add_argument('--lr', type=float, default=5e-4, help='default: %(default)s')
    parser.add_argument(
        '--until',
        type=float,
        metavar='CHANGE',
        help='stop when the mean loss of the last 20 steps (or as many as there are images) '
        'differs from that of the steps before by at most this fraction, e.g. 0.01',
    )
    parser.add_argument(
        '--freeze-norm',
        action='store_true',
        help="keep BatchNorm's statistics: more stable than the authors' way",
    )
    parser.add_argument(
        '--max-size',
        type=int,
        default=1280,
        metavar='PIXELS',
        help='shrink larger images to this longer side (default: %(default)s)',
    )
    parser.add_argument(
        '--crop-size', type=int, metavar='PIXELS', help='train on random square crops'
    )
    parser.add_argument('--seed', type=int, default=2, help='default: %(default)s')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that no tool of ours wrote'
    )
    add_device_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.finetune import finetune

    result = finetune(**vars(args), progress=sys.stderr.isatty())
    for path, cause in result.skipped.items():
        line = cause if path in cause else f'{path}: {cause}'
        print(f'skipped: {line}', file=sys.stderr)
    steps, first, last = len(result.losses), result.losses[0], result.losses[-1]
    settled = {None: '', True: ', settled', False: ', not settled'}[result.settled]
    print(f'{args.out}: {steps} steps, loss {first:.4f} to {last:.4f}{settled}')


if __name__ == '__main__':
    run(main)
