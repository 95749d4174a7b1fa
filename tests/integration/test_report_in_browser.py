"""The report in a real browser: it shows its answer, on a desktop and on a phone."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sci_plugins.utils.images import write_sheet
from sci_plugins.visualization.report import Sheet, render_report
from tests.report_samples import make_comparison, make_curve

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_SIZES = ('COCO_AP50_below_16px', 'COCO_AP50_16_to_32px', 'COCO_AP50_above_32px')
_PHONE = 390
#: What a reader's eyes would tell, asked of the browser.
_PROBE = """
<script>
const box = (element) => element.getBoundingClientRect();
const drawn = document.querySelector('.forest td.drawn');
const told = document.createElement('pre');
told.id = 'probe';
told.textContent = JSON.stringify({
  width: document.body.scrollWidth,
  tables: [...document.querySelectorAll('.scroll')].every(
    (item) => item.closest('details:not([open])') || box(item).right <= WIDTH),
  pictures: [...document.images].map((image) => image.naturalWidth),
  point: (box(drawn.querySelector('.point')).left + 3.5 - box(drawn).left)
    / box(drawn).width,
  curves: [...document.querySelectorAll('path.curve[d]')].filter(
    (path) => path.closest('figure')).map((path) => path.getTotalLength()),
});
document.body.append(told);
</script>
""".replace('WIDTH', str(_PHONE))


@pytest.fixture(scope='module')
def chromium() -> str:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f'no browser on PATH: none of {", ".join(_NAMES)}')
    return found


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('report')


@pytest.fixture(scope='module')
def html(folder: Path) -> str:
    comparison = make_comparison(
        {'gamma': [0.2, -0.2, 0.01], 'sci/official/medium': [0.3, -0.1, 0.2]},
        metrics=('COCO_AP50', 'COCO_AP', *_SIZES),
        thirds=('darkest third', 'middle third', 'brightest third'),
        about=dict(weights={'gamma': dict(name='a' * 90, sha256='4f' * 32)}),
    )
    write_sheet(folder / 'sheet.jpg', Image.new('RGB', (1200, 300), 'red'), ['none', 'gamma'])
    sheets = [Sheet('as is', 'gamma', 'a.png', 0.012, folder / 'sheet.jpg')]
    curves = {('as is', label): make_curve(end) for label, end in (('none', 0.5), ('gamma', 1))}
    return render_report(comparison, curves, sheets)


def _open(chromium: str, page: Path, width: int, picture: Path) -> str:
    """The page's elements once it stands, and a picture of it; no name resolves."""
    flags = f"""--headless=new --no-sandbox --disable-gpu --hide-scrollbars
        --disable-background-networking --user-data-dir={page.parent / 'profile'}
        --window-size={width},1600 --dump-dom --screenshot={picture}""".split()
    command = [chromium, *flags, '--host-resolver-rules=MAP * ~NOTFOUND', page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_shows_its_answer(chromium: str, folder: Path, html: str) -> None:
    page, picture = folder / 'report.html', folder / 'page.png'
    page.write_text(html, encoding='utf-8')
    content = _open(chromium, page, 1200, picture)
    assert '<h1>Helps in 3 of 6 comparisons, hurts in 2 and no difference' in content
    assert 'gain 0.1, noise 0' in content
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert('RGB')).astype(int)
    assert pixels.shape == (1600, 1200, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    for verdict in ('helps', 'hurts'):
        red, green, blue = re.findall(f'--{verdict}-wash: #(..)(..)(..);', html)[0]
        color = [int(red, 16), int(green, 16), int(blue, 16)]
        assert (pixels == color).all(axis=2).mean() > 0.005, verdict


@pytest.fixture(scope='module')
def probed(chromium: str, folder: Path, html: str) -> dict[str, Any]:
    """The page at a phone's width, with a script that measures it put in."""
    policy = re.search('<meta http-equiv="Content-Security-Policy".*', html)
    assert policy is not None
    page = html.replace(policy[0], '').replace('</body>', f'{_PROBE}</body>')
    # A window is never narrower than 500 pixels, a page can be.
    page = page.replace('<html ', f'<html style="width: {_PHONE}px" ')
    path = folder / 'probe.html'
    path.write_text(page, encoding='utf-8')
    content = _open(chromium, path, 500, folder / 'phone.png')
    found = re.search('<pre id="probe">(.*?)</pre>', content)
    assert found is not None
    return json.loads(found[1])


def test_a_phone_need_not_scroll_sideways(probed: dict[str, Any]) -> None:
    assert probed['width'] <= _PHONE
    assert probed['tables']


def test_pictures_and_curves_are_drawn(probed: dict[str, Any]) -> None:
    assert probed['pictures'] == [1200]
    assert len(probed['curves']) == 2
    assert min(probed['curves']) > 50


def test_an_interval_stands_at_its_place(probed: dict[str, Any]) -> None:
    """Δ is +0.2 on an axis from -0.25 to +0.35, and four percent more at either end."""
    low, high = -0.25 - 0.04 * 0.6, 0.35 + 0.04 * 0.6
    assert probed['point'] == pytest.approx((0.2 - low) / (high - low), abs=0.01)


_USE = """
<script>
onload = () => {
  const told = document.createElement('pre');
  told.id = 'probe';
  const click = (item) => item.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  const body = document.querySelector('table').tBodies[0];
  const rows = () => [...body.rows].map((row) => row.cells[0].textContent);
  const found = { before: rows() };
  const [, , gamma] = document.querySelectorAll('table th .sort');
  click(gamma);
  found.sorted = rows();
  click(gamma);
  found.turned = rows();
  const figure = document.querySelector('figure.sheet');
  const [full, compare] = figure.querySelectorAll('button');
  click(compare);
  const layers = [...figure.querySelectorAll('.stage div')];
  found.layers = layers.map((layer) => layer.style.backgroundPosition);
  click(full);
  found.full = document.querySelector('dialog[open] img').naturalWidth;
  document.querySelector('dialog').close();
  told.textContent = JSON.stringify(found);
  document.body.append(told);
};
</script>
"""


def test_tables_are_sorted_and_pictures_compared(chromium: str, folder: Path, html: str) -> None:
    policy = re.search('<meta http-equiv="Content-Security-Policy".*', html)
    assert policy is not None
    path = folder / 'used.html'
    path.write_text(html.replace(policy[0], '').replace('</body>', f'{_USE}</body>'))
    content = _open(chromium, path, 1200, folder / 'used.png')
    told = re.search('<pre id="probe">(.*?)</pre>', content)
    assert told is not None
    found = json.loads(told[1])
    day, dusk, night = found['before']
    assert found['sorted'] == [day, night, dusk]  # +20, +1, -20
    assert found['turned'] == [dusk, night, day]
    first, second = (float(each.partition('%')[0]) for each in found['layers'])
    assert 0 < first < second <= 100
    assert found['full'] == 1200


def test_the_page_s_own_script_runs_under_its_policy(
    chromium: str, folder: Path, html: str
) -> None:
    path = folder / 'own.html'
    path.write_text(html, encoding='utf-8')
    assert 'class="sort"' not in html
    assert 'class="sort"' in _open(chromium, path, 1200, folder / 'own.png')


def test_a_script_in_the_page_would_not_run(chromium: str, folder: Path, html: str) -> None:
    path = folder / 'attacked.html'
    path.write_text(html.replace('</body>', f'{_PROBE}</body>'), encoding='utf-8')
    content = _open(chromium, path, 500, folder / 'attacked.png')
    assert '<pre id="probe">' not in content
