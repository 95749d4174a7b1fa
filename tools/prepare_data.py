"""Check a data set before anything is trained on it.

    python tools/prepare_data.py darkface data/DarkFace --json report.json

Counts, hashes and everything that is wrong, by file and line. Exit code 1 where
training would go wrong, 2 where there is nothing to check.
"""

import argparse
from typing import Any

from sci_plugins.utils.cli import run
from sci_plugins.utils.files import write_atomically


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='name', required=True, metavar='DATA_SET')
    _add_darkface(commands)
    return parser.parse_args()


def _add_darkface(commands: Any) -> None:
    parser = commands.add_parser('darkface', help='DARK FACE: image/ and label/')
    _add_common_arguments(parser)
    parser.add_argument('--split', metavar='NAME', help='check only this split')
    parser.add_argument('--size', default='1080x720', help='of every image')
    parser.add_argument('--workers', type=int, default=2, help='decoding threads')


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument('root', help="the data set's folder")
    parser.add_argument('--json', metavar='FILE', help='also write the report here')


def main() -> int:
    options: dict[str, Any] = vars(parse_args())
    name, root, json_path = options.pop('name'), options.pop('root'), options.pop('json')
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.prepare_data import check_data, parse_size

    if 'size' in options:
        options['size'] = parse_size(options['size'])
    report = check_data(name, root, **options)
    print(report.to_text())
    if json_path:
        write_atomically(json_path, report.to_json())
    return 1 if report.errors else 0


if __name__ == '__main__':
    run(main)
