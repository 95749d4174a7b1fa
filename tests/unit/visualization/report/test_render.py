"""The page: complete in itself, readable by anyone, and not broken by any name."""

import base64
import hashlib
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import MissingDependencyError
from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import Sheet, render, render_report
from tests.report_samples import make_comparison, make_curve, make_result

SIZES = ('COCO_AP50_below_16px', 'COCO_AP50_16_to_32px', 'COCO_AP50_above_32px')
THIRDS = ('darkest third', 'middle third', 'brightest third')
_VOID = {'meta', 'img', 'wbr'}


class _Page(HTMLParser):
    """Tags that fit together, their attributes, and the text outside the style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ''
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (['style'], ['script']):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _detections(**settings: object) -> Comparison:
    return make_comparison(
        {'gamma': [0.2, -0.2, 0.01], 'clahe': [0.1, math.nan, -0.3]},
        metrics=('COCO_AP50', 'COCO_AP', *SIZES),
        thirds=THIRDS,
        about=dict(
            versions='sci_plugins 0.1.0, torch 2.14.1',
            environment=dict(python='3.11'),
            weights={'gamma': dict(name='none needed', sha256='4ff1e7')},
            config_diff={'gamma': '--- none\n+++ gamma\n-old=1\n+new=2'},
        ),
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture()
def sheets(tmp_path: Path) -> list[Sheet]:
    path = tmp_path / 'sheet.jpg'
    Image.fromarray(np.full((20, 60, 3), 90, np.uint8)).save(path)
    return [
        Sheet('as is', 'gamma', 'a.png', 0.012, path),
        Sheet('as is', 'gamma', 'b.png', -0.004, path),
        Sheet('as is', 'clahe', 'lost.png', 0.01, tmp_path / 'lost.jpg'),
    ]


@pytest.fixture()
def html(sheets: list[Sheet]) -> str:
    curves = {('as is', 'none'): make_curve(0.5), ('as is', 'gamma'): make_curve(0.8)}
    legend = [('Car', (64, 0, 128)), ('Road', (128, 64, 128))]
    return render_report(_detections(), curves, sheets, legend)


def test_the_answer_comes_first(html: str) -> None:
    text = ' '.join(_Page(html).text.split())
    answer = 'Helps in 2 of 6 comparisons, hurts in 2, no difference shown in 1 and not'
    assert text.startswith(answer)  # of the title
    assert answer in re.search('<h1>(.*)</h1>', html)[1]  # type: ignore[index]
    assert 'gain 0.1, noise 0: gamma hurts (−20.0)' in text
    assert text.index('gamma hurts') < text.index('Verdicts')


def test_everything_is_there(html: str) -> None:
    headings = re.findall('<h2[^>]*>(.*?)</h2>', html)
    assert headings == [
        'Verdicts',
        'Intervals',
        'Precision and recall',
        'COCO_AP50 by brightness of the images',
        'COCO_AP50 by size of the objects',
        'Pictures',
        'All metrics',
        'Method',
        'Made with',
    ]
    text = _Page(html).text
    for part in ('▲ helps', '▼ hurts', '○ no difference shown', '4ff1e7', '+new=2'):
        assert part in text
    for part in ('torch', '2.14.1', 'python', '3.11', 'faces.py', 'pycocotools'):
        assert part in text
    assert '49 images drawn with replacement 1,000 times (seed 0)' in text


def test_classes_of_a_segmentor(sheets: list[Sheet]) -> None:
    comparison = make_comparison({'gamma': [5.0]}, metrics=('mIoU', 'IoU/Car'), half=1, start=40)
    sheet = replace(sheets[0], variant='')
    html = render_report(comparison, {}, [sheet], [('Car', (64, 0, 128))])
    assert 'Evenly spaced images' in html
    assert 'gained and lost most' not in html
    assert 'IoU by class' in html
    assert 'fill="rgb(64,0,128)"' in html
    assert 'Precision and recall' not in html
    assert '+5.00' in html


def test_the_file_needs_no_network_and_runs_one_script(html: str) -> None:
    page = _Page(html)
    assert page.all('link') == page.all('iframe') == []
    (script,) = re.findall('<script>(.*?)</script>', html, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ('src', 'href', 'xlink:href', 'srcset', 'data', 'action'):
                assert re.match('#|data:image/jpeg;base64,', value or ''), value
            assert not name.startswith('on')
    assert 'url(' not in html.partition('<script>')[0]
    assert '@import' not in html
    policy = [m for m in page.all('meta') if 'http-equiv' in m]
    content = policy[0]['content'] or ''
    assert content.startswith("default-src 'none';")
    assert content.endswith(f"; script-src 'sha256-{digest}'")
    assert 'http' not in script


def test_links_lead_somewhere(html: str) -> None:
    page = _Page(html)
    ids = [attributes['id'] for _, attributes in page.tags if 'id' in attributes]
    assert len(ids) == len(set(ids))
    targets = [link['href'] for link in page.all('a')]
    assert targets
    assert {f'#{name}' for name in ids} >= set(targets)
    for section in page.all('section'):
        assert section['aria-labelledby'] in ids


def test_it_can_be_read_without_eyes(html: str) -> None:
    page = _Page(html)
    assert page.all('html') == [dict(lang='en')]
    assert len(page.all('h1')) == 1
    assert all(image.get('alt') for image in page.all('img'))
    assert all('aria-hidden' in drawing or drawing.get('aria-label') for drawing in page.all('svg'))
    assert len(page.all('caption')) == len(page.all('table')) > 5
    assert all(head.get('scope') in ('col', 'row', 'rowgroup') for head in page.all('th'))
    scrolling = [box for box in page.all('div') if box.get('class') == 'scroll']
    assert all(box.get('aria-label') and box['tabindex'] == '0' for box in scrolling)


def test_tables_scroll_within_themselves(html: str) -> None:
    assert len(re.findall('<table', html)) == len(
        re.findall('<div class="scroll"[^>]*>\n*<table', html)
    )


def test_pictures_are_in_the_file(html: str, sheets: list[Sheet]) -> None:
    images = _Page(html).all('img')
    assert len(images) == 2
    assert (images[0]['alt'] or '').startswith('a.png, as is: input, ground truth')
    text = ' '.join(_Page(html).text.split())
    assert 'a.png gained: effect +1.2' in text
    assert 'b.png lost: effect −0.4' in text
    assert 'lost.jpg could not be read (FileNotFoundError)' in text


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    odd = '<b>"x" & \'y\'</b><script>alert(1)</script>'
    path = tmp_path / 'sheet.jpg'
    Image.new('RGB', (8, 8)).save(path)
    comparison = make_comparison(
        {odd: [0.2]},
        about={
            'config': odd,
            'base': 'none',
            odd: odd,
            'versions': {odd: odd},
            'environment': {odd: odd},
            'weights': {odd: dict(name=odd, sha256=odd)},
            'config_diff': {odd: f'+{odd}'},
            'resampling': odd,
        },
        metrics=('AP', f'IoU/{odd}'),
        thirds=(odd,),
        units=3,
    )
    comparison.results[0].metrics[odd] = 1.0
    curves = {('as is', odd): make_curve(0.5)}
    sheets = [Sheet(odd, odd, odd, 0.1, path), Sheet('as is', odd, odd, 0.1, Path(odd))]
    html = render_report(comparison, curves, sheets, [(odd, (1, 2, 3))])
    page = _Page(html)
    assert len(page.all('script')) == 1
    assert '<b>"' not in html
    assert page.text.count(odd) > 20


def test_not_defined_is_a_dash(html: str) -> None:
    assert not re.search(r'\bnan\b', html, re.IGNORECASE)
    assert 'not defined' in html


def test_few_units_are_said_wherever_an_interval_stands() -> None:
    html = render_report(_detections(units=4), {}, [])
    captions = re.findall('<caption><span>(.*?)</span>', html)
    with_intervals = [text for text in captions if '95 % interval' in text]
    assert len(with_intervals) > 5
    assert all('Only 4 images to resample' in text for text in with_intervals)
    assert html.count('class="warning"') == 2
    assert 'but from only 4 images</h1>' in html
    assert 'to resample' not in render_report(_detections(), {}, [])


def test_many_conditions_and_variants_fold() -> None:
    deltas = {f'variant {number}': [0.1] * 7 for number in range(7)}
    comparison = make_comparison(deltas, metrics=('COCO_AP50', *SIZES), thirds=THIRDS)
    html = render_report(comparison, {}, [])
    page = _Page(html)
    folded = [box for box in page.all('details') if 'open' not in box]
    assert len(folded) >= 3 * 6
    assert 'Helps in all 49 comparisons' in html
    assert len(html) < 1_000_000


def test_one_condition_needs_no_folding() -> None:
    html = render_report(make_comparison({'gamma': [0.1]}, thirds=THIRDS), {}, [])
    details = _Page(html).all('details')
    assert len(details) == 1  # the host's own numbers


def test_numbers_without_intervals() -> None:
    day = Condition()
    results = [make_result(name, day, {'AP': 0.2}) for name in ('none', 'gamma')]
    html = render_report(Comparison(dict(config='a.py'), results), {}, [])
    assert 'no verdict' in html
    assert 'Verdicts' not in html
    assert 'own evaluator' in html


def test_nothing_measured() -> None:
    assert 'Nothing was measured' in render_report(Comparison({}, []), {}, [])


def test_pictures_over_the_budget_are_told(
    sheets: list[Sheet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, 'BUDGET', 10)
    html = render_report(_detections(), {}, sheets)
    assert 'with smaller effects' in html


def test_without_jinja_the_extra_is_named() -> None:
    render._environment.cache_clear()  # of another test
    absent = mock.patch.dict(sys.modules, {'jinja2': None})
    with absent, pytest.raises(MissingDependencyError, match=r'jinja2.*pip install'):
        render_report(_detections(), {}, [])
