"""Enhance a video file, a camera or a stream, without flicker.

    sci-plugins video night.mp4 --out bright.mp4
    sci-plugins video 0 --out camera.mp4 --enhancer adaptive

Exit code: 0 the whole video, 1 a part of it (why is told), 2 wrong usage. After Ctrl-C the same
command goes on; a camera or stream is finished by Ctrl-C.
"""

import argparse
import sys

from sci_plugins.utils.cli import HelpFormatter, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('input', metavar='VIDEO', help='file, number of a camera, or address')
    parser.add_argument('--out', required=True, metavar='FILE', help='.mp4, .mkv or .mov, H.264')
    parser.add_argument(
        '--enhancer', default='adaptive', help='any enhancer (default: %(default)s)'
    )
    parser.add_argument(
        '--temporal',
        choices=('none', 'gain', 'full'),
        default='gain',
        help='smooth nothing, what is decided for whole frames, or also average what does not '
        'move (default: %(default)s)',
    )
    parser.add_argument(
        '--seconds', type=float, default=0.5, help='time constant (default: %(default)s)'
    )
    parser.add_argument(
        '--quality',
        type=int,
        default=18,
        metavar='CRF',
        help="H.264's constant rate factor, 0 to 51, lower is better (default: %(default)s)",
    )
    parser.add_argument('--limit', type=int, metavar='N', help='take the first N frames')
    parser.add_argument('--show', action='store_true', help='also show the frames in a window')
    parser.add_argument('--overwrite', action='store_true', help='replace the output')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: %(default)s)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from sci_plugins.video import enhance_video

    summary = enhance_video(
        int(args.input) if args.input.isdecimal() else args.input,
        args.out,
        args.enhancer,
        temporal=args.temporal,
        seconds=args.seconds,
        quality=args.quality,
        limit=args.limit,
        device=args.device,
        overwrite=args.overwrite,
        show=args.show,
        progress=sys.stderr.isatty(),
    )
    resumed = f', {summary.resumed} of them from an earlier run' if summary.resumed else ''
    print(f'{args.out}: {summary.frames} frames{resumed}, {summary.cuts} scene cuts')
    if summary.stopped:
        print(f'stopped early: {summary.stopped}', file=sys.stderr)
    return 1 if summary.stopped else 0


if __name__ == '__main__':
    run(main)
