"""The Markdown: the same account as the page, and not broken by any name."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sci_plugins.evaluation.analysis import GroupResult
from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.evaluation.comparison import Comparison, read_comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import render_report, tell_comparison
from sci_plugins.visualization.report.markdown import escape, markdown_table
from tests.report_samples import make_analysis, make_comparison, make_result

DAY, DARK = Condition(), Condition(0.05)
THIRDS = ('darkest third', 'middle third', 'brightest third')


@pytest.fixture()
def comparison() -> Comparison:
    return make_comparison(
        {'sci': [0.3, -0.21], 'gamma': [-0.2, 0.013], 'joint': [0.05, math.nan]},
        metrics=('COCO_AP', 'COCO_AP50', 'COCO_AP50_below_16px', 'COCO_AP50/car'),
        thirds=THIRDS,
        half=0.1,
        about=dict(config_diff={'joint': '--- a.py\n+++ b.py\n+x = 1'}, versions=dict(torch='2')),
    )


def _tables(text: str) -> list[list[list[str]]]:
    """Cells of each table, without the line of dashes."""
    tables, rows = [], []
    for line in [*text.splitlines(), '']:
        if line.startswith('|'):
            rows.append([cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]])
        elif rows:
            assert set(''.join(rows[1])) <= set('-:')
            assert len({len(row) for row in rows}) == 1
            tables.append([rows[0], *rows[2:]])
            rows = []
    return tables


def _row(text: str, title: str, name: str, table: int = 0) -> list[str]:
    """A row of the n-th table below a heading."""
    part = text[text.index(f'## {title}') :]
    return next(row[1:] for row in _tables(part)[table] if row[0] == name)


def test_the_answer_comes_first(comparison: Comparison) -> None:
    lines = tell_comparison(comparison).splitlines()
    assert lines[0] == "# Does it help? faces.py, 49 images, compared with 'none' by COCO_AP"
    assert lines[2].startswith('**Helps in 1 of 6 comparisons, hurts in 2')
    assert lines[4].startswith('- as is: gamma hurts (−20.0); sci helps (+30.0);')


def test_the_matrix(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    head, day, dark = _tables(text)[0]
    assert head == ['images', 'none', 'sci', 'gamma', 'joint']
    assert day[:3] == ['as is', '40.0', '70.0 (+30.0, +20.0 to +40.0) ▲']
    assert day[3] == '20.0 (−20.0, −30.0 to −10.0) ▼'
    assert dark[3] == '41.3 (+1.3, −8.7 to +11.3) ○'
    assert dark[4] == '– (not defined)'
    assert '▲ helps: the whole interval is on the better side of zero' in text


def test_every_table_of_the_page(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    part = _row(text, 'COCO_AP by brightness of the images', 'sci')[0]
    assert part.startswith('40.0 → 70.0 (+30.0')
    assert _row(text, 'COCO_AP50 by size of the objects', 'sci')
    assert _row(text, 'COCO_AP50 by class', 'car')[0] == '40.0'
    assert _row(text, 'All metrics', 'COCO_AP50')[:2] == ['40.0', '70.0 (+30.0, +20.0 to +40.0) ▲']
    assert _row(text, "Numbers of the config's own evaluator", 'COCO_AP')[0] == '40.0'
    assert _row(text, 'Made with', 'torch') == ['2']
    assert '- COCO_AP: pycocotools: IoU 0.5 to 0.95' in text
    assert '49 images drawn with replacement 1,000 times (seed 0)' in text
    assert '## joint: changes in the config\n\n```diff\n--- a.py\n+++ b.py\n+x = 1\n```' in text


class _Numbers(HTMLParser):
    """Numbers in the cells of a page's tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside, self.found = '', set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ('td', 'th', 'svg', 'caption', 'section'):
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ('td', 'svg'):
            self.inside = ''

    def handle_data(self, data: str) -> None:
        if self.inside == 'td':
            self.found |= _numbers(data)


def _numbers(text: str) -> set[str]:
    return set(re.findall(r'[+−]?\d+(?:\.\d+)?', text))


@pytest.mark.parametrize('metric', ['COCO_AP', 'mIoU'])
def test_page_and_markdown_show_the_same_numbers_with_the_same_digits(metric: str) -> None:
    scale = 100 if metric == 'mIoU' else 1
    comparison = make_comparison(
        {'sci': [0.31 * scale, -0.21 * scale], 'gamma': [0.00002 * scale, math.nan]},
        metrics=(metric, 'IoU/car'),
        start=0.41234 * scale,
        half=0.0777 * scale,
        thirds=THIRDS,
    )
    comparison.results[0].metrics['other'] = 12.3456
    page = _Numbers(render_report(comparison, {}, [])).found
    tables = _tables(tell_comparison(comparison))
    told = set().union(*(_numbers(cell) for rows in tables for row in rows[1:] for cell in row[1:]))
    assert told == page
    assert len(told) > 40


def test_few_units_are_said_beside_every_table_with_intervals() -> None:
    text = tell_comparison(make_comparison({'sci': [0.3]}, units=4, thirds=THIRDS))
    assert text.count(' Only 4 images to resample: see the warning.') == 3
    assert '**Few units.** Only 4 images to resample' in text
    assert '**Helps, but from only 4 images.**' in text


def test_without_intervals_there_is_no_claim() -> None:
    note = 'the images have no boxes to find'
    results = [
        make_result('none', DAY, dict(aAcc=80.0, mIoU=40.0), note=note),
        make_result('sci', DAY, dict(aAcc=85.0, mIoU=35.5), note=note),
        make_result('gamma', DAY, dict(aAcc=85.0), note=note),
    ]
    text = tell_comparison(Comparison({}, results))
    assert (
        f'- as is: without an interval ({note}), so no verdict: mIoU of sci falls by 4.50, '
        'gamma is not defined.'
    ) in text
    assert 'a small difference may be chance' in text
    assert _row(text, 'Differences', 'as is') == ['40.00', '35.50 (−4.50)', '– (–)']
    assert not any(word in text for word in ('helps', 'hurts', '95 %'))


def test_the_wanted_metric_decides() -> None:
    results = [
        make_result(n, DAY, {'mAP': v, 'mAP_50': 2 * v}) for n, v in (('a', 0.1), ('b', 0.3))
    ]
    text = tell_comparison(Comparison({}, results, metric='mAP_50'))
    assert _row(text, 'Differences', 'as is') == ['20.0', '60.0 (+40.0)']


def test_images_that_the_base_was_not_measured_on(comparison: Comparison) -> None:
    first, *rest = comparison.results[4:]
    comparison.results[4:] = [replace(result, analysis=None) for result in rest]
    assert first.variant == 'none'
    text = tell_comparison(comparison)
    assert f'- {DARK.name}' not in text
    condition = rest[0].condition.name
    assert f'- {condition}: none was not measured, so there is no verdict.' in text
    assert _row(text, 'Verdicts', condition)[:2] == ['–', '19.0 (–)']
    assert _row(text, "Numbers of the config's own", 'COCO_AP', table=1)[:2] == ['–', '19.0 (–)']


def test_a_turned_table_keeps_the_base() -> None:
    text = tell_comparison(make_comparison({f'v{index}': [0.1, 0.2] for index in range(9)}))
    head, base, first, *_ = _tables(text)[0]
    assert head == ['variant', 'as is', 'gain 0.1, noise 0']
    assert base == ['none', '40.0', '40.0']
    assert first[0] == 'v0'


def test_classes_that_no_image_has_are_named_below_the_table(comparison: Comparison) -> None:
    for result in comparison.results:
        if result.analysis is not None:
            result.analysis.intervals['COCO_AP50/cat'] = Interval(math.nan, math.nan, math.nan)
            result.analysis.values['COCO_AP50/cat'] = (math.nan, math.nan)
    assert tell_comparison(comparison).count('\n\nNot in these images: cat.\n') == 2


def test_names_do_not_break_the_table() -> None:
    odd = 'X(a|b)\n<b>&*`[1](x)`'
    results = [make_result('none', DAY, {odd: 0.5}), make_result(odd, DAY, {odd: 0.5})]
    text = tell_comparison(Comparison(dict(config=odd), results))
    assert r'X(a\|b) &lt;b&gt;&\*\`\[1](x)\`' in _tables(text)[0][0]
    assert '<b>' not in text
    assert escape('a\r\nb') == 'a  b'
    assert escape('a\\|b') == r'a\\\|b'


def test_no_name_breaks_the_whole_text() -> None:
    odd = '<img src=x>\n# x\n```\n| a *b* `c'
    about = dict.fromkeys(('config', 'resampling', odd), odd) | dict(config_diff={odd: f'+{odd}'})
    comparison = make_comparison(
        {odd: [0.2]}, about=about, metrics=('AP', f'IoU/{odd}'), thirds=(odd,), units=3
    )
    comparison.results[0] = replace(comparison.results[0], difference=odd, constant=odd)
    text = tell_comparison(comparison)
    fenced = re.search('^````diff$.*?^````$', text, flags=re.S | re.M)
    assert fenced is not None
    rest = text.replace(fenced[0], '')
    assert '<img' not in rest
    assert '\n# x' not in rest
    assert not re.search(r'(?<!\\)[`*]b', rest)
    assert len(_tables(rest)) > 5


def test_table() -> None:
    assert markdown_table(['a', 'b|c'], [['x', '1']]) == [
        '| a | b\\|c |',
        '| --- | ---: |',
        '| x | 1 |',
    ]


def test_the_same_after_json(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / 'comparison.json').write_text(comparison.to_json())
    again = read_comparison(tmp_path / 'comparison.json')
    # Two NaN are never equal: compare what is told.
    assert tell_comparison(again) == tell_comparison(comparison)
    assert 'faces.py' in tell_comparison(Comparison(dict(config='faces.py')))


def test_a_part_that_only_one_variant_has() -> None:
    group = GroupResult('darkest third, 0 to 0.1', 20, 0.2, 0.5, Interval(0.3, 0.1, 0.4))
    found = replace(make_analysis({'AP': (0.3, 0.6)}, 0.1), groups=dict(brightness=[group]))
    results = [
        make_result('none', DAY, {'AP': 0.3}),
        make_result('sci', DAY, {'AP': 0.6}, found),
        make_result('gamma', DAY, {'AP': 0.6}, replace(found, groups={})),
    ]
    text = tell_comparison(Comparison({}, results))
    (head, sci, gamma) = _tables(text[text.index('## AP by brightness') :])[0]
    assert head == ['variant', 'darkest third, 0 to 0.1 (20 images)']
    assert sci == ['sci', '20.0 → 50.0 (+30.0, +10.0 to +40.0) ▲']
    assert gamma == ['gamma', '']


def test_a_file_from_before_the_corrections(comparison: Comparison, tmp_path: Path) -> None:
    """It has plain verdicts, and no word on a family, a protocol or an unfinished run."""
    content = json.loads(comparison.to_json())
    for result in content['results']:
        for key in ('weakness', 'constant', 'members', 'protocol'):
            del result[key]
        if result['analysis']:
            del result['analysis']['seeds']
            for interval in result['analysis']['intervals'].values():
                for key in ('error', 'p', 'margin', 'units'):
                    del interval[key]
    path = tmp_path / 'comparison.json'
    path.write_text(json.dumps(content))
    text = tell_comparison(read_comparison(path))
    assert text.startswith('# Does it help?')
    assert '**Helps in 1 of 6 comparisons, hurts in 2, no difference shown in 2' in text
    assert 'The verdicts are not corrected for the 6 comparisons' in text
    assert not any(word in text for word in ('Unfinished', 'Protocol', 'δ', 'too few'))
