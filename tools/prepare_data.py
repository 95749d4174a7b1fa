"""Check a data set before anything is trained on it.

    sci-plugins prepare-data darkface data/DarkFace --json report.json
    sci-plugins prepare-data acdc data/ACDC
    sci-plugins prepare-data darkzurich data/DarkZurich --against data/ACDC
    sci-plugins prepare-data my_module.MY_LAYOUT data/mine

Reports counts, classes and every error by file and line; for segmentation also test frames in
training sets. Exit code 1 if training would go wrong, 2 if there is nothing to check.
"""

import argparse
import sys
from typing import Any

from sci_plugins.utils.cli import HelpFormatter, add_output_arguments, run
from sci_plugins.utils.files import check_outputs, write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest='name', required=True, metavar='DATA_SET')
    _add_darkface(commands)
    _add_segmentation(commands, [each for each in sys.argv[1:2] if '.' in each])
    return parser.parse_args()


def _add_darkface(commands: Any) -> None:
    parser = commands.add_parser('darkface', help='DARK FACE: image/ and label/')
    _add_common_arguments(parser)
    parser.add_argument('--split', metavar='NAME', help='check only this split')
    parser.add_argument('--size', default='1080x720', help='expected size of every image')


def _add_segmentation(commands: Any, own: list[str]) -> None:
    """The night sets, and the user's own sets by the name of their layout."""
    for name, text in (
        ('acdc', 'ACDC: rgb_anon/ and gt/'),
        ('darkzurich', 'Dark Zurich: rgb_anon/ and gt/'),
        ('nightdriving', 'Nighttime Driving: leftImg8bit/ and gtCoarse_.../'),
        ('nightcity', 'NightCity or NightCity-fine'),
        ('bdd100k', 'the night images of BDD100K: images/10k/ and labels/'),
        ('camvid', 'CamVid: train/, trainannot/ and so on'),
        *((name, 'a set of your own') for name in own),
    ):
        parser = commands.add_parser(name, help=text)
        _add_common_arguments(parser)
        parser.add_argument(
            '--against',
            nargs='+',
            default=[],
            metavar='FOLDER',
            help="training sets to search for this set's test frames",
        )
        parser.add_argument('--content', action='store_true', help='compare pixels, not only names')
        _add_own_arguments(name, parser)


def _add_own_arguments(name: str, parser: Any) -> None:
    if name == 'acdc':
        parser.add_argument(
            '--condition', nargs='+', default=['night'], help='night, fog, rain, snow'
        )
    if name == 'nightcity':
        parser.add_argument('--release', default='original', help='original or fine')
    if name == 'bdd100k':
        parser.add_argument(
            '--timeofday', nargs='+', default=['night'], help='times of day to check'
        )
        parser.add_argument(
            '--attributes',
            nargs='+',
            metavar='FILE',
            help='label files below the root with the time of day; default: all',
        )
        parser.add_argument(
            '--write-lists',
            metavar='FOLDER',
            help='write night_SPLIT.txt to this folder, for ann_file',
        )


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('root', help="the data set's folder")
    parser.add_argument('--workers', type=int, default=2, help='decoding threads')
    add_output_arguments(parser, 'report')


def main() -> int:
    options: dict[str, Any] = vars(parse_args())
    name, root, json_path = options.pop('name'), options.pop('root'), options.pop('json')
    check_outputs(json_path, inputs=[root], overwrite=options['overwrite'])
    if not options.get('write_lists'):
        options.pop('overwrite')
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.prepare_data import check_data, parse_size

    if 'size' in options:
        options['size'] = parse_size(options['size'])
    report = check_data(name, root, **options)
    print(report.to_text())
    if json_path:
        write_json(json_path, report.to_json())
    return 1 if report.errors else 0


if __name__ == '__main__':
    run(main)
