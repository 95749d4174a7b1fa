"""Run the demo: dark faces and night streets, without and with SCI, on generated data.

sci-plugins demo --out demo_out
sci-plugins demo --prepare data/demo      # only generate images, to train on
"""

import argparse
from pathlib import Path

from sci_plugins.utils.cli import HelpFormatter, add_verbose_argument, quiet_hosts, run
from sci_plugins.utils.files import shipped
from sci_plugins.weights import DEFAULT_ENHANCER


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        '--out', default='demo_out', help='folder for tables and pictures (default: %(default)s)'
    )
    parser.add_argument(
        '--enhancer', default=DEFAULT_ENHANCER, help='as in compare.py (default: %(default)s)'
    )
    parser.add_argument('--data', help='folder of the generated images (default: the cache)')
    parser.add_argument('--images', type=int, help='number of images of each task')
    parser.add_argument(
        '--prepare', metavar='FOLDER', help='only generate training and test images'
    )
    add_verbose_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.prepare:
        from sci_plugins.demo import prepare_demo

        print(f'images written to {prepare_demo(args.prepare, splits=("train", "test"))}')
        return
    with quiet_hosts('', args.verbose):
        from sci_plugins.demo.run import run_demo

    run_demo(
        args.out,
        shipped('configs') / 'demo',
        enhancer=args.enhancer,
        data=args.data,
        images=args.images,
        verbose=args.verbose,
    )
    report = Path(args.out) / 'README.md'
    print('\n' + report.read_text().split('\n## ')[0])
    print(f'tables and pictures: {report}')


if __name__ == '__main__':
    run(main)
