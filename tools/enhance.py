"""Enhance image files and folders and write them to another folder; videos: see `video`.

    sci-plugins enhance PHOTOS --out BRIGHT
    sci-plugins enhance night.jpg --out BRIGHT --enhancer adaptive --illumination

A video file, camera or stream goes to `video`, with its options. Exit code: 0 all images
enhanced, 1 some failed, 2 wrong usage.
"""

import argparse
import runpy
import sys
from pathlib import Path

from sci_plugins.utils.cli import HelpFormatter, add_device_argument, run
from sci_plugins.utils.folders import VIDEO_SUFFIXES
from sci_plugins.weights import DEFAULT_ENHANCER


def parse_args() -> argparse.Namespace | None:
    """``None`` for a video, whose options are others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='image file or folder')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--enhancer',
        default=DEFAULT_ENHANCER,
        help="'sci/official/medium', 'sci/FILE.pth', 'gamma/0.4', 'clahe', 'histeq', "
        "'none', 'my_file.MyEnhancer(key=value)' of your own (default: %(default)s, which "
        'comes with the package)',
    )
    parser.add_argument(
        '--illumination',
        action='store_true',
        help='also write illumination maps, NAME_illumination.png',
    )
    parser.add_argument(
        '--format',
        choices=('same', 'png'),
        default='same',
        help='same as the input, JPEG at quality 95, or lossless png (default: %(default)s)',
    )
    parser.add_argument(
        '--png-level',
        type=int,
        default=1,
        metavar='0..9',
        help='compression of PNG files: 1 is fast, 6 and more small (default: %(default)s)',
    )
    parser.add_argument(
        '--tile',
        type=int,
        default=1024,
        metavar='PIXELS',
        help='tile size for large images; smaller tiles need less memory (default: %(default)s)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='threads that read and write (default: one per core, at most 4)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='enhance images again and replace existing files'
    )
    add_device_argument(parser)
    args, _ = parser.parse_known_args()
    return None if any(map(_is_video, args.inputs)) else parser.parse_args()


def _is_video(name: str) -> bool:
    """A video file, the number of a camera, or the address of a stream."""
    path = Path(name)
    is_one = name.isdecimal() or '://' in name or path.suffix.lower() in VIDEO_SUFFIXES
    return is_one and not path.is_dir()


def main() -> int:
    args = parse_args()
    if args is None:
        return runpy.run_path(str(Path(__file__).with_name('video.py')))['main']()
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    from sci_plugins.apis.enhance_files import enhance_files

    summary = enhance_files(
        args.inputs,
        args.out,
        args.enhancer,
        illumination=args.illumination,
        image_format=args.format,
        png_level=args.png_level,
        tile=args.tile,
        workers=args.workers,
        overwrite=args.overwrite,
        device=args.device,
        progress=sys.stderr.isatty(),
        on_failure=lambda line: print(f'failed: {line}', file=sys.stderr),
    )
    for line in summary.passed_over:
        print(line, file=sys.stderr)
    print(
        f'{args.out}: {summary.written} enhanced, {summary.skipped} already there, '
        f'{len(summary.failed)} failed'
    )
    return 1 if summary.failed else 0


if __name__ == '__main__':
    run(main)
