"""Pictures of the images that gained and lost most."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis.compare.about import ImageSet, build_image_set
from sci_plugins.apis.compare.changed import changed_images, legend_of, run_again, write_changed
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.evaluation.analysis import Effect
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.panels import class_colors


def _result(name: str, gained: str, lost: str, base: str = 'none') -> VariantResult:
    analysis: Any = SimpleNamespace(
        base=base,
        gained=[Effect(image, 0.5) for image in gained],
        lost=[Effect(image, -0.25) for image in lost],
    )
    return VariantResult(name, Condition(), {}, 1.0, 3, analysis=analysis)


def test_the_strongest_of_each_variant(tmp_path: Path) -> None:
    results = [
        VariantResult('none', Condition(), {}, 1.0, 3),
        _result('sci/x', 'abc', 'd'),
        _result('gamma', '', 'ba'),
    ]
    found = changed_images(results, tmp_path, 2)
    told = [(each.variant, each.image, each.effect) for each in found]
    assert told == [
        ('sci/x', 'a', 0.5),
        ('sci/x', 'b', 0.5),
        ('sci/x', 'd', -0.25),
        ('gamma', 'b', -0.25),
        ('gamma', 'a', -0.25),
    ]
    assert len({each.path for each in found}) == 5
    sheet = found[3]
    assert (sheet.condition, sheet.variant, sheet.image) == ('as is', 'gamma', 'b')
    assert (sheet.effect, sheet.path) == (-0.25, tmp_path / 'gamma_against_none' / 'b.jpg')
    assert changed_images(results, tmp_path, 0) == []


def test_sheets_against_another_base_are_others(tmp_path: Path) -> None:
    paths = [
        changed_images([_result('sci', 'a', '', base)], tmp_path, 1)[0].path
        for base in ('none', 'gamma')
    ]
    assert paths[0] != paths[1]


@pytest.mark.parametrize('kind', ['det', 'seg'])
def test_images_are_run_again_and_drawn(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    source: tuple[Config, str] = request.getfixturevalue(kind)
    contenders = Contenders(ModelSource(*source), ['none', 'gamma/0.4'])
    images = build_image_set(source[0])
    runs = []
    for name in contenders.names:
        samples = run_again(contenders.open(name), images, [2, 0])
        assert [sample.index for sample in samples] == [2, 0]
        assert samples[0].name == '002.png'
        brighter = samples[0].enhanced.mean() > samples[0].image.mean() + 10
        assert brighter == (name != 'none')
        runs.append((name, samples))
    (changed,) = changed_images([_result('gamma/0.4', ['002'], '')], tmp_path, 1)
    write_changed([changed], 'none', images, runs)
    with Image.open(changed.path) as sheet:
        assert sheet.format == 'JPEG'
        assert 3 * 480 < sheet.width < 3 * 480 + 40
        array = np.asarray(sheet.convert('L')).astype(float)
    sees = [array[48:308, 484 * n + 20 :][:, :400].mean() for n in range(3)]
    assert sees[0] == pytest.approx(sees[1], abs=1)
    assert sees[2] > sees[1] + 10
    if kind == 'det':
        assert _drawn(changed.path) == pytest.approx(_wanted(images), abs=4)


def _wanted(images: ImageSet) -> list[float]:
    """Left, top, right and bottom of all true boxes of the last image, in its cell."""
    boxes = images.truth(2)[0] * 480 / 64
    return [boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max()]


def _drawn(path: Path) -> list[float]:
    """The same of what is green below the input."""
    with Image.open(path) as sheet:
        cell = np.asarray(sheet.crop((4, 424, 484, 784))).astype(int)
    rows, columns = np.nonzero(cell[..., 1] - cell[..., 0] > 90)
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_the_legend() -> None:
    classes, palette = ('a', 'b'), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    found = legend_of(dict(classes=classes, palette=palette))
    assert found == [('a', (1, 2, 3)), ('b', (4, 5, 6))]
    assert legend_of(dict(classes=classes, palette=palette[:1])) == []
    boxes = legend_of(dict(classes=classes, palette=palette), of_boxes=True)
    assert boxes == list(zip(classes, class_colors(2), strict=True))
    single = legend_of(dict(classes=['face'], palette=palette), of_boxes=True)
    assert single == [('face, to be found', (46, 230, 46)), ('found', (255, 65, 54))]
    assert legend_of(dict(classes=classes)) == legend_of({}) == []
