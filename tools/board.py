"""The board: networks x conditions x enhancers, as one page of tables and one figure.

    sci-plugins board configs/board/board.yml --dry-run
    sci-plugins board configs/board/board.yml --work-dir W --page docs/board.md
    sci-plugins board BOARD.yml --add earlier/board.json        # and what was measured before
    sci-plugins board docs/board.json --page docs/board.md      # draw it again

Each cell, a network under a condition, is a comparison of its own below the work dir. Start the
same command several times, on other machines with the same folder too, and each takes cells that
no other has (by locks on files); started again, it measures what is missing. Guide:
docs/compare.md.
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any

from sci_plugins.errors import ConfigError
from sci_plugins.utils.cli import HelpFormatter, run, text_table
from sci_plugins.utils.files import MARK, check_outputs, to_json, write_atomically
from sci_plugins.utils.schema import to_content


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('board', help='BOARD.yml; or a board.json, to draw its page again')
    parser.add_argument('--work-dir', default='work_dirs/board', help='for all comparisons')
    parser.add_argument('--page', type=Path, metavar='FILE.md', help='(default: WORK_DIR/board.md)')
    parser.add_argument(
        '--add', nargs='+', default=[], metavar='BOARD.json',
        help='earlier results: numbers that are not measured here, on the same images',
    )  # fmt: skip
    parser.add_argument('--dry-run', action='store_true', help='list the cells and what is missing')
    parser.add_argument('--no-measure', action='store_true', help='write the page of what is there')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    page = args.page or Path(args.work_dir) / 'board.md'
    if page.suffix != '.md':
        raise ConfigError(f'--page must be the name of a .md file, got {page}')
    again = args.board.endswith('.json')
    if again and args.add:
        raise ConfigError(
            f'--add needs a BOARD.yml, which says what is asked for; got {args.board}'
        )
    if not args.dry_run:
        outputs = [page, page.parent / 'images' / f'{page.stem}.png']
        outputs += [] if again else [page.with_suffix('.json')]
        check_outputs(*outputs, inputs=args.add)
    # Imported late: --help need not wait for PyTorch.
    from sci_plugins.apis import board as boards

    if again:
        results, command = boards.read_results(args.board)
        write_page(results, page, command)
        return
    board = boards.read_board(args.board)
    earlier = {path: boards.read_results(path)[0] for path in args.add}  # before hours of work
    if args.dry_run:
        _list(boards.cells_of(board, args.work_dir), board.enhancers)
        return
    if not args.no_measure:
        boards.measure_board(board, args.work_dir)
    results = boards.collect_results(board, args.work_dir)
    added = ' '.join(['--add', *args.add, '']) if args.add else ''
    for path, found in earlier.items():
        results = boards.complete_results(results, board, path, found)
    write_page(results, page, f'python tools/board.py {args.board} {added}--page {page}')
    print(f'{results.measured} of {results.cells} cells are measured; written: {page}')


def write_page(results: Any, page: Path, command: str) -> None:
    """Write a Markdown page, ``PAGE.json`` with all its numbers and ``images/PAGE.png``.

    Args:
        results: from :func:`collect_results`.
        page: the file.
        command: that made the numbers, for the reader.
    """
    content = to_content(results)
    write_atomically(page.with_suffix('.json'), to_json(dict(command=command, **content)))
    _draw(results, page.parent / 'images' / f'{page.stem}.png')
    write_atomically(page, '\n'.join(_page_lines(results, page, command)) + '\n')


def _page_lines(results: Any, page: Path, command: str) -> Iterator[str]:
    from sci_plugins.evaluation.bootstrap import HELPS, HURTS, SAME, TOO_FEW
    from sci_plugins.visualization.report.cells import HOLLOW, MARKS, MEANINGS

    yield f'<!-- {MARK}; a change here is lost -->\n# The board\n'
    yield f'Made by `{command}`; all numbers: [{page.stem}.json]({page.stem}.json).\n'
    if results.measured < results.cells:
        yield f'**Unfinished: {results.measured} of {results.cells} cells are measured.**\n'
    if any(results.taken.values()):
        told = ', '.join(f'{count} from {name}' for name, count in results.taken.items() if count)
        yield f'Numbers that were measured before, on the same images: {told}.\n'
    base = results.enhancers[0]
    told = [f'{MARKS[each][1]} {MEANINGS[each]}' for each in (HELPS, HURTS, SAME, TOO_FEW)]
    marks, hollow = '; '.join(told), ' '.join(HOLLOW.values())
    yield (
        f'In percent, against `{base}` on the same images: {marks}. Each interval holds 95 % of '
        'the resamples; '
        f"{hollow}: true of the interval alone, not after Holm's correction for all comparisons of "
        'the table. δ is 0.5 points. "Δ mean" is the mean '
        'difference over the conditions. Bold: the highest of a column. Milliseconds are for one '
        f'image of 640 x 480, of one CPU thread or of the GPU ({results.machine}); `select` and '
        '`merge` need a second inference besides. Conditions are written as after `--darken`.\n'
    )
    yield f'![The metric over darkness, one line for each enhancer](images/{page.stem}.png)\n'
    yield '*Left of the line: less light and nothing else; right: noise and the rest.*\n'
    for sheet in results.sheets:
        yield f'## {sheet.network}\n'
        sha = f' (sha256 {sheet.checkpoint_sha256[:12]}…)' if sheet.checkpoint_sha256 else ''
        weights = '' if sheet.checkpoint == 'none' else f' with `{sheet.checkpoint}`{sha}'
        yield (
            f'{sheet.metric} on {sheet.images} images, resampled by {sheet.resample}; '
            f'`{sheet.config}`{weights}.\n'
        )
        if sheet.differing:
            told = '; '.join(sheet.differing)
            yield f'**The columns do not share a protocol, so do not compare them: {told}.**\n'
        told = '; '.join(f'{key} {value[:60]}' for key, value in sheet.protocol.items() if value)
        yield f'Protocol: {told}.\n'
        yield from _table(results, sheet)
        yield '\n<details markdown><summary>Differences with their intervals</summary>\n'
        yield from _differences(results, sheet)
        yield '\n</details>\n'
    told = ', '.join(f'{name} {value}' for name, value in results.versions.items())
    yield f'Made with {told}.'


def _table(results: Any, sheet: Any) -> Iterator[str]:
    from sci_plugins.visualization.report.cells import DASH, HOLLOW, MARKS, plain, signed

    tops = [max(e.value for e in column.entries.values()) for column in sheet.columns]
    yield _row('', [f'{c.text}<br>luma {c.luma:.2f}' for c in sheet.columns], ('Δ mean', 'ms'))
    yield _row('---', ['---:'] * len(sheet.columns), ('---:', '---:'))
    for name in results.enhancers:
        entries = [column.entries.get(name) for column in sheet.columns]
        cells = []
        for entry, top in zip(entries, tops, strict=True):
            mark = MARKS[entry.verdict][1] if entry and entry.verdict in MARKS else ''
            if entry and not entry.stands:
                mark = HOLLOW[entry.verdict]
            text = plain(entry.value, 1) if entry else DASH
            is_top = entry is not None and entry.value == top
            cells.append((f'**{text}** {mark}' if is_top else f'{text} {mark}').strip())
        deltas = [entry.delta for entry in entries if entry]
        mean = signed(fmean(deltas), 1) if deltas and name != results.enhancers[0] else ''
        cost = plain(results.milliseconds.get(name, float('nan')), 1)
        yield _row(f'`{name}`', cells, (mean, cost))


def _differences(results: Any, sheet: Any) -> Iterator[str]:
    from sci_plugins.visualization.report.cells import DASH, signed

    names = results.enhancers[1:]
    yield _row('', [f'`{name}`' for name in names])
    yield _row('---', ['---:'] * len(names))
    for column in sheet.columns:
        found = [column.entries.get(name) for name in names]
        numbers = [[signed(n, 1) for n in (e.delta, e.low, e.high)] if e else [] for e in found]
        cells = ['{} [{}, {}]'.format(*each) if each else DASH for each in numbers]
        yield _row(column.name, cells)


def _row(first: str, cells: Sequence[str], more: Sequence[str] = ()) -> str:
    return f'| {" | ".join([first, *cells, *more])} |'


def _draw(results: Any, path: Path) -> None:
    """A panel for each network: less light alone, by brightness, and the rest in its order."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    across = min(2, len(results.sheets)) or 1
    rows = -(-len(results.sheets) // across) or 1
    figure = Figure(figsize=(6.5 * max(across, 1.7), 4.2 * rows + 1.2 + 2 * (across == 1)))
    panels = figure.subplots(rows, across, squeeze=False).ravel()
    # Solid: the base and this package's own; dashed: the rivals.
    strong, light = (cycle(colormaps[name].colors) for name in ('Dark2', 'tab10'))
    styles: dict[str, Any] = {results.enhancers[0]: dict(c='black', lw=2.4)}
    for name in results.enhancers[1:]:
        ours = any(part in name for part in ('sci', 'adaptive', 'cautious'))
        style = dict(c=next(strong), lw=2.2) if ours else dict(c=next(light), lw=1.1, ls='--')
        styles[name] = style | dict(marker=_MARKERS[len(styles) % len(_MARKERS)], ms=4)
    for axes, sheet in zip(panels, results.sheets, strict=False):
        columns = sorted(sheet.columns, key=lambda c: 1.0 if ':' in c.text else -c.luma)
        plain = sum(':' not in column.text for column in columns)
        for name, style in styles.items():
            values = [c.entries[name].value if name in c.entries else None for c in columns]
            axes.plot(range(plain), values[:plain], label=name, **style)
            axes.plot(range(plain, len(columns)), values[plain:], **style)
        axes.axvline(plain - 0.5, c='black', lw=0.8)
        labels = [f'{column.text}  ({column.luma:.2f})' for column in columns]
        axes.set_xticks(range(len(columns)), labels, rotation=50, ha='right', fontsize=7)
        axes.set_title(f'{sheet.network}: {sheet.metric}, percent', fontsize=10)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
    for axes in panels[len(results.sheets) :]:
        axes.set_visible(False)
    if results.sheets:
        handles, names = panels[0].get_legend_handles_labels()
        legend = dict(loc='lower center', ncols=4, frameon=False, fontsize=8)
        figure.legend(handles, names, **legend)
    figure.tight_layout(rect=(0, 1.2 / figure.get_figheight(), 1, 1))
    content = io.BytesIO()
    figure.savefig(content, dpi=100, metadata=dict(Software=MARK))
    write_atomically(path, content.getbuffer())


_MARKERS = 'os^vD*PX'


def _list(cells: list, enhancers: list[str]) -> None:
    rows = [
        (cell.network.name, cell.condition.name, f'{len(missing)} of {len(enhancers)}')
        for cell in cells
        if (missing := cell.missing(enhancers))
    ]
    if rows:
        print(text_table(('network', 'images', 'enhancers to measure'), rows))
    runs = sum(int(row[2].split()[0]) for row in rows)
    print(f'{len(cells)} cells, {len(rows)} of them with {runs} test runs to do')


if __name__ == '__main__':
    run(main)
