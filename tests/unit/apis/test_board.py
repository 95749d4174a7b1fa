"""The board: cells, claims, resuming, and the page that is made of them."""

import fcntl
import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sci_plugins.apis import board as boards
from sci_plugins.apis.board import cells_of, collect_results, measure_board, read_board
from sci_plugins.apis.compare import measuring
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.comparison import read_comparison
from sci_plugins.models.enhancers import parse_enhancer
from sci_plugins.utils.schema import to_content
from tests.run_tool import run_tool

ROOT = Path(__file__).parents[3]
TINY = runpy.run_path(str(ROOT / 'tests/data/make_tiny.py'))
ENHANCERS = ['none', 'gamma/0.4', 'before(clahe)']


@pytest.fixture()
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what really runs."""
    names: list[str] = []
    real = measuring.measure

    def measure(cfg: Any, model: Any, name: str, *rest: Any) -> Any:
        names.append(name)
        return real(cfg, model, name, *rest)

    monkeypatch.setattr(measuring, 'measure', measure)
    return names


@pytest.fixture()
def board_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A detector and a segmentor, by day and in the dark."""
    torch.set_num_threads(1)
    entries = []
    for kind, metric in (('detection', 'COCO_AP'), ('segmentation', 'mIoU')):
        config = TINY[f'write_{kind}'](tmp_path / kind)
        checkpoint = Path(TINY['write_checkpoint'](config)).relative_to(tmp_path)
        entry = dict(name=kind, config=str(config), checkpoint=f'$HERE/{checkpoint}')
        entries.append(entry | dict(metric=metric))
    monkeypatch.setenv('HERE', str(tmp_path))
    content = dict(networks=entries, conditions=[0.2], enhancers=ENHANCERS, resamples=20)
    text = json.dumps(content).replace('0.2]', 'none, 0.2, 1:0.003]')  # 60.003 to YAML
    path = tmp_path / 'board.yml'
    path.write_text(text)
    return path


def test_measured_once_and_shown(board_file: Path, tmp_path: Path, measured: list[str]) -> None:
    _leave_out(board_file, ', 1:0.003')
    board, work = read_board(board_file), tmp_path / 'work'
    cells = cells_of(board, work)
    assert len(cells) == 4
    cells[0].folder.mkdir(parents=True)
    with (cells[0].folder / 'claim').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process is at it
        measure_board(board, work)
        assert len(measured) == 3 * 3
        assert collect_results(board, work).measured == 3
    assert cells[0].missing(ENHANCERS) == ENHANCERS
    measure_board(board, work)
    assert len(measured) == 4 * 3
    page = tmp_path / 'page/board.md'
    code, out, err = run_tool('board', board_file, '--work-dir', work, '--page', page)
    assert code == 0, err
    assert len(measured) == 4 * 3
    assert '4 of 4 cells are measured' in out
    _check_page(page, cells)
    code, _, err = run_tool('board', page.with_suffix('.json'), '--page', tmp_path / 'again.md')
    assert code == 0, err
    assert _rows(tmp_path / 'again.md') == _rows(page)


def _leave_out(board_file: Path, *words: str) -> None:
    text = board_file.read_text()
    for word in words:
        assert word in text
        text = text.replace(word, '')
    board_file.write_text(text)


def _rows(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith('|')]


def _check_page(page: Path, cells: list) -> None:
    content, text = json.loads(page.with_suffix('.json').read_text()), page.read_text()
    assert (page.parent / 'images/board.png').stat().st_size > 10_000
    assert 'Unfinished' not in text
    assert content['milliseconds']['gamma/0.4'] > content['milliseconds']['none'] > 0
    assert [sheet['metric'] for sheet in content['sheets']] == ['COCO_AP', 'mIoU']
    assert [sheet['differing'] for sheet in content['sheets']] == [[], []]
    assert text.count('Protocol: data_set ') == 2
    assert 'do not share a protocol' not in text
    columns = [column for sheet in content['sheets'] for column in sheet['columns']]
    for cell, column in zip(cells, columns, strict=True):
        scale = 100 if cell.network.name == 'detection' else 1
        result = read_comparison(cell.folder / 'comparison.json').find(cell.condition, ENHANCERS[1])
        main, values = result.analysis.main, result.analysis.values[result.analysis.metric]
        entry = column['entries'][ENHANCERS[1]]
        assert entry['value'] == pytest.approx(scale * values[1])
        assert (entry['low'], entry['high']) == pytest.approx((scale * main.low, scale * main.high))
        assert column['entries']['none']['value'] == pytest.approx(scale * values[0])
        assert f'{entry["value"]:.1f}' in text
    day, dark = (column['luma'] for column in columns[:2])
    assert dark < 0.7 * day
    table = [line for line in text.splitlines() if line.startswith('| `gamma/0.4` |')]
    assert len(table) == 2
    assert all(line.count('|') == 6 for line in table)


def test_the_dry_run_tells_what_is_missing(
    board_file: Path, tmp_path: Path, measured: list[str]
) -> None:
    assert read_board(board_file).conditions == ['none', '0.2', '1:0.003']
    arguments = 'board', board_file, '--work-dir', tmp_path / 'work'
    code, out, err = run_tool(*arguments, '--dry-run')
    assert code == 0, err
    assert '6 cells, 6 of them with 18 test runs to do' in out
    assert out.count('3 of 3') == 6
    assert not (tmp_path / 'work').exists()
    code, out, err = run_tool(*arguments, '--no-measure')
    assert code == 0, err
    assert '**Unfinished: 0 of 6 cells' in (tmp_path / 'work/board.md').read_text()
    assert measured == []


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (('1:0.003', '2'), "darkening '2': gain must be"),
        (('"segmentation"', '"detection"'), 'networks: expected different names, at least one'),
        (('"before(clahe)"', '"none"'), 'enhancers: expected different names, at least the base'),
        (('$HERE', '$NOWHERE'), 'a variable is not set: [$]NOWHERE/'),
        (('.pth', '.no'), r'checkpoint not found: .*\.no'),
        (('"enhancers"', '"others"'), 'board.yml: enhancers is missing'),
        (('{', '{['), 'board.yml: expected YAML'),
        (('tiny_detector.py', 'no.py'), 'config not found: .*no.py'),
    ],
)
def test_what_does_not_fit(board_file: Path, change: tuple[str, str], word: str) -> None:
    board_file.write_text(board_file.read_text().replace(*change))
    with pytest.raises((ConfigError, DataError, FileNotFoundError), match=word) as caught:
        read_board(board_file)
    assert '\n' not in str(caught.value)


def test_a_page_of_a_user_stays(board_file: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine.md').write_text('my notes')
    code, _, err = run_tool('board', board_file, '--page', tmp_path / 'mine.md')
    assert code == 2
    assert 'mine.md exists and was not written by this package' in err
    assert (tmp_path / 'mine.md').read_text() == 'my notes'


@pytest.mark.parametrize(('name', 'least'), [('board', (4, 12, 12)), ('grid', (2, 30, 12))])
def test_the_shipped_boards(
    shared_data: Path, tmp_path: Path, monkeypatch: Any, name: str, least: tuple[int, ...]
) -> None:
    """Their networks are there once trained."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('SCI_PLUGINS_DATA', str(shared_data))
    text = (ROOT / f'configs/board/{name}.yml').read_text()
    (tmp_path / 'x.pth').touch()
    lines = [
        line.replace('work_dirs/tuned/fast-scnn.pth', str(tmp_path / 'x.pth'))
        if 'checkpoint: work_dirs' not in line
        else f'    checkpoint: {tmp_path}/x.pth'
        for line in text.splitlines()
    ]
    (tmp_path / 'board.yml').write_text('\n'.join(lines))
    board = boards.read_board(tmp_path / 'board.yml')
    found = map(len, (board.networks, board.conditions, board.enhancers))
    assert all(many >= few for many, few in zip(found, least, strict=True))
    for enhancer in board.enhancers:
        inner = enhancer.removeprefix('before(').removeprefix('select(').removesuffix(')')
        assert parse_enhancer(inner)


def test_verdicts_are_corrected_for_all_of_the_table(tmp_path: Path) -> None:
    """Of three at .03, .04 and .001, Holm leaves the last; the others are shown hollow."""
    helps = [boards.Entry(50, 1, 0.1, 2, 'helps', p) for p in (0.03, 0.04, 0.001)]
    plain = boards.Entry(49)
    none = dict(helps[0].__dict__, verdict='too few images to tell', p=0.9)
    pairs = [
        dict(none=plain, a=helps[0], b=helps[1]),
        dict(none=plain, a=helps[2], b=boards.Entry(**none)),
    ]
    columns = [boards.Column(str(i), str(i), 0.1, each) for i, each in enumerate(pairs)]
    found = boards._corrected(columns)
    assert [entry.stands for column in found for entry in column.entries.values()] == [
        *(True, False, False),
        *(True, True, True),
    ]
    sheet = boards.Sheet('x', 'x.py', 'x.pth', None, 'AP', 9, 'images', found)
    results = boards.Results([sheet], ['none', 'a', 'b'], dict(none=1.0), 'here', {}, 2, 2)
    content = json.dumps(to_content(results))
    (tmp_path / 'x.json').write_text(content)
    code, _, err = run_tool('board', tmp_path / 'x.json', '--page', tmp_path / 'page.md')
    assert code == 0, err
    rows = _rows(tmp_path / 'page.md')
    assert rows[3] == '| `a` | **50.0** △ | **50.0** ▲ | +1.0 | – |'


def test_cells_of_another_protocol_are_named(board_file: Path, tmp_path: Path) -> None:
    """The ground truth was changed between two runs."""
    _leave_out(board_file, ', 1:0.003', ', "before(clahe)"')
    board, work = read_board(board_file), tmp_path / 'work'
    assert len(cells_of(board, work)) == 4
    measure_board(board, work)
    path = cells_of(board, work)[1].folder / 'comparison.json'
    content = json.loads(path.read_text())
    content['results'][0]['protocol']['truth_sha256'] = 'f' * 64
    path.write_text(json.dumps(content))
    first, second = collect_results(board, work).sheets
    assert [each.partition(':')[0] for each in first.differing] == ['truth_sha256']
    assert '(0.2)' in first.differing[0]
    assert second.differing == []
    arguments = ('--work-dir', work, '--page', tmp_path / 'page.md', '--no-measure')
    assert run_tool('board', board_file, *arguments)[0] == 0
    assert 'do not share a protocol' in (tmp_path / 'page.md').read_text()


def _sheet(network: str, columns: dict[str, dict[str, float]], **others: Any) -> boards.Sheet:
    judged = {
        text: {
            name: boards.Entry(value, 1, 0.1, 2, 'helps' if name != 'none' else '', 0.03)
            for name, value in values.items()
        }
        for text, values in columns.items()
    }
    found = [boards.Column(text, text, 0.1, entries) for text, entries in judged.items()]
    about = dict(checkpoint_sha256='f' * 64, protocol=dict(images_sha256='a', rule='Coco')) | others
    return boards.Sheet(
        network, 'x.py', 'x.pth', metric='AP', images=9, resample='images', columns=found, **about
    )


def _results(*sheets: boards.Sheet) -> boards.Results:
    return boards.Results(list(sheets), ['none', 'a', 'b'], {}, 'here', {}, 6, 1)


def _board(*networks: str) -> boards.Board:
    named = [boards.Network(name, 'x.py', 'x.pth') for name in networks]
    return boards.Board(named, ['none', '0.1', '0.2'], ['none', 'a', 'b'])


def test_numbers_measured_before_fill_what_is_missing() -> None:
    """Own ones count; conditions and enhancers that nobody asks for stay away."""
    own = _results(_sheet('x', {'0.1': dict(none=5, a=6)}, protocol=dict(images_sha256='a')))
    earlier = _results(
        _sheet('x', {'0.1': dict(none=5.01, a=1, b=2, c=3), 'none': dict(none=4, a=5)}),
        _sheet('y', {'0.2': dict(none=7, a=8, b=9)}),
    )
    found = boards.complete_results(own, _board('x', 'y'), 'old/board.json', earlier)
    told = [
        (each.text, {name: entry.value for name, entry in each.entries.items()})
        for sheet in found.sheets
        for each in sheet.columns
    ]
    assert told == [
        ('none', dict(none=4, a=5)),
        ('0.1', dict(none=5, a=6, b=2)),
        ('0.2', dict(none=7, a=8, b=9)),
    ]
    assert found.taken == {'board.json': 6}
    assert found.measured == 2
    # Corrected together: of three at .03 none stands.
    assert not any(
        e.stands for c in found.sheets[0].columns for e in c.entries.values() if e.verdict
    )
    # Where nothing was measured, the versions are those of the earlier numbers.
    own, earlier = replace(own, versions={}), replace(earlier, versions=dict(torch='2'))
    found = boards.complete_results(own, _board('x'), 'old.json', earlier)
    assert found.versions == dict(torch='2')


@pytest.mark.parametrize(
    'other', [dict(checkpoint_sha256='0' * 64), dict(protocol=dict(images_sha256='b', rule='Coco'))]
)
def test_numbers_of_other_weights_or_images_are_not_taken(
    other: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(boards, 'print_log', lambda text, **_: told.append(text))
    own = _results(_sheet('x', {'0.1': dict(none=5, a=6)}))
    earlier = _results(_sheet('x', {'0.1': dict(none=5, b=2)}, **other))
    found = boards.complete_results(own, _board('x'), 'old.json', earlier)
    assert found.sheets == own.sheets
    assert told == ['old.json: x has other weights, images or metric: not taken']


def test_another_base_is_refused() -> None:
    own, earlier = (_results(_sheet('x', {'0.1': dict(none=n, a=6)})) for n in (5, 5.1))
    with pytest.raises(DataError, match=r'old\.json: x, 0\.1: none is 5\.1000 there, 5\.0000 here'):
        boards.complete_results(own, _board('x'), 'old.json', earlier)


def test_another_base_enhancer_is_refused() -> None:
    own = _results(_sheet('x', {'0.1': dict(none=5, a=6)}))
    earlier = boards.Results(own.sheets, ['a', 'none'], {}, 'here', {}, 6, 1)
    with pytest.raises(DataError, match=r'old\.json: expected numbers against none, got .* a$'):
        boards.complete_results(own, _board('x'), 'old.json', earlier)


@pytest.mark.parametrize(('page', 'words'), [('old.md', 'old.json'), ('new.md', 'missing.json')])
def test_earlier_numbers_are_looked_at_first_and_kept(
    board_file: Path, tmp_path: Path, measured: list[str], page: str, words: str
) -> None:
    """Before anything is measured: a page beside which they lie would write over them."""
    (tmp_path / 'old.json').write_text(json.dumps(to_content(_results())))
    before = (tmp_path / 'old.json').read_bytes()
    command = ('board', board_file, '--work-dir', tmp_path / 'work', '--page', tmp_path / page)
    code, _, err = run_tool(*command, '--add', tmp_path / words)
    assert code == 2
    assert words in err
    assert measured == []
    assert (tmp_path / 'old.json').read_bytes() == before
    code, _, err = run_tool('board', tmp_path / 'old.json', '--add', tmp_path / 'old.json')
    assert code == 2
    assert '--add needs a BOARD.yml' in err


def test_the_page_tells_what_was_taken(board_file: Path, tmp_path: Path) -> None:
    _leave_out(board_file, ', 1:0.003', ', "before(clahe)"')
    work, pages = tmp_path / 'work', [tmp_path / name / 'page.md' for name in ('one', 'two')]
    assert run_tool('board', board_file, '--work-dir', work, '--page', pages[0])[0] == 0
    more = board_file.with_name('more.yml')
    more.write_text(board_file.read_text().replace('"gamma/0.4"', '"gamma/0.4", "clahe"'))
    earlier = pages[0].with_suffix('.json')
    command = ('board', more, '--work-dir', tmp_path / 'other', '--no-measure')
    assert run_tool(*command, '--add', earlier, '--page', pages[1])[0] == 0
    page = pages[1].read_text()
    assert 'Numbers that were measured before, on the same images: 8 from page.json.' in page
    assert f'--add {earlier} --page' in page
    assert 'Unfinished: 0 of 4 cells' in page
