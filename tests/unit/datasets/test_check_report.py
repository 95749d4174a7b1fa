"""How the result of a check is told."""

import json

from sci_plugins.datasets.check_report import CheckReport


def _report() -> CheckReport:
    report = CheckReport('faces', facts={'images': 3, 'all faces': 20})
    report.tables['splits'] = [dict(split='train', faces=5), dict(split='b', faces=11111)]
    return report


def test_text_without_problems() -> None:
    assert _report().to_text().splitlines() == [
        'faces',
        '  images     3',
        '  all faces  20',
        '',
        'splits',
        '  split  faces',
        '  train      5',
        '  b      11111',
        '',
        'usable for training',
    ]


def test_errors_come_first_and_decide() -> None:
    report = _report()
    report.add('odd', 'a.png: odd', is_error=False)
    assert report.errors == []
    for number in range(7):
        report.add('broken', f'{number}.png: broken')
    lines = report.to_text().splitlines()
    start = lines.index('ERROR: broken (7)')
    assert lines[start + 1 : start + 7] == [
        *(f'  {number}.png: broken' for number in range(5)),
        '  and 2 more',
    ]
    assert lines[start + 7 :] == ['', 'note: odd (1)', '  a.png: odd', '', 'NOT usable: 7 errors']


def test_one_error_is_no_plural() -> None:
    report = _report()
    report.add('broken', 'a.png: broken')
    assert report.to_text().endswith('\nNOT usable: 1 error')


def test_json_has_everything() -> None:
    report = _report()
    for number in range(7):
        report.add('broken', f'{number}.png: broken')
    content = json.loads(report.to_json())
    assert content['usable'] is False
    assert content['facts']['images'] == 3
    assert content['tables']['splits'][1] == dict(split='b', faces=11111)
    assert len(content['problems']) == 7
    assert content['problems'][6] == dict(kind='broken', text='6.png: broken', is_error=True)
    assert json.loads(_report().to_json())['usable'] is True
