"""Say of photographs how dark, uneven and noisy they are, and what the adaptive stage does.

    sci-plugins explain night.jpg
    sci-plugins explain PHOTOS --enhancer adaptive/adaptive.pth --json photos.json

Columns: mean, low and high (quantiles .1 and .9) of the luma in [0, 1]; unevenness of the light (0
even, above 1 a lamp at night); noise in linear light (white is 1) and whether it is white (1: a
sensor's noise, 0: texture, which is left alone); whether JPEG's blocks show (1: compressed as it
is); exponent of SCI's regional light, gain, and strengths of the noise shrinkage,
finest detail first. "off": the image stays as it is, to the bit.
"""

import argparse
import sys
from dataclasses import asdict

from sci_plugins.utils.cli import (
    HelpFormatter,
    add_device_argument,
    add_output_arguments,
    run,
    text_table,
)
from sci_plugins.utils.files import check_outputs, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image file or folder')
    parser.add_argument('--enhancer', default='adaptive', help='default: %(default)s')
    add_device_argument(parser)
    add_output_arguments(parser, 'table')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from sci_plugins.apis.explain import HEAD, explain_images, row

    if args.json:
        check_outputs(args.json, inputs=args.inputs, overwrite=args.overwrite)
    progress = sys.stderr.isatty()
    found = list(explain_images(args.inputs, args.enhancer, args.device, progress))
    print(text_table(HEAD, [row(each) for each in found]))
    if args.json:
        write_json(args.json, dict(enhancer=args.enhancer, images=[asdict(each) for each in found]))
    return 1 if any(each.problem for each in found) else 0


if __name__ == '__main__':
    run(main)
