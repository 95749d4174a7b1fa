"""Decisions are those of the test run, each with its image, wherever the stage is."""

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.apis.compare.measuring import measure, prepare_config
from sci_plugins.apis.config import load_config, use_tta
from sci_plugins.apis.explain import explain_images
from sci_plugins.datasets.low_light_folder import find_images, to_tensor
from sci_plugins.engine.hooks import DecisionsHook, SampleKeeperHook
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.decisions import ImageDecision
from sci_plugins.models.enhancers import GatedEnhancer, build_enhancer
from sci_plugins.utils.images import read_image

pytest.importorskip('mmdet')

TINY = runpy.run_path(str(Path(__file__).parents[3] / 'data' / 'make_tiny.py'))


@pytest.fixture(scope='module')
def det(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    folder = tmp_path_factory.mktemp('det')
    config = TINY['write_detection'](folder)
    return load_config(str(config)), str(TINY['write_checkpoint'](config))


@pytest.fixture(scope='module')
def wanted(det: tuple[Config, str]) -> list[dict[str, Any]]:
    """What explain.py says of the same images, which are tested at their own size."""
    dataset = det[0].test_dataloader.dataset
    found = list(explain_images([Path(dataset.data_root) / dataset.data_prefix.img]))
    assert len(found) == 3
    assert len({json.dumps(dict(each.decision)) for each in found}) == 3
    return [dict(each.decision, light=each.light['mean']) for each in found]


def _run(
    det: tuple[Config, str], folder: Path, name: str, **loader: Any
) -> dict[int, ImageDecision]:
    cfg = copy.deepcopy(det[0])
    cfg.test_dataloader.update(loader)
    contenders = Contenders(ModelSource(cfg, det[1]), [name])
    hook = DecisionsHook()
    # Enhances every image once more, for pictures.
    keeper = SampleKeeperHook(range(3))
    prepared = prepare_config(contenders.config(name), Condition(), folder)
    model = contenders.open(name)
    measure(prepared, model, name, Condition(), [keeper, hook])
    assert hook.found is not None
    for module in model.modules():
        assert not getattr(module, 'listeners', [])
    return hook.found


def _check(found: dict[int, ImageDecision], wanted: list[dict[str, Any]]) -> None:
    assert sorted(found) == [0, 1, 2]
    for place, each in enumerate(wanted):
        assert found[place].gain == pytest.approx(each['gain'], rel=1e-5)
        assert found[place].exponent == pytest.approx(each['exponent'], abs=1e-5)
        assert found[place].strengths == pytest.approx(each['strengths'], abs=1e-4)
        assert found[place].light == pytest.approx(each['light'], abs=1e-5)


@pytest.mark.parametrize('batch', [1, 2])
@pytest.mark.parametrize(
    'name',
    [
        'adaptive',
        'select(adaptive)',
        'merge(adaptive)',
        'before(adaptive)',
        'merge(before(adaptive))',
    ],
)
def test_every_image_has_its_own(
    det: tuple[Config, str], wanted: list, tmp_path: Path, name: str, batch: int
) -> None:
    _check(_run(det, tmp_path, name, batch_size=batch), wanted)


def test_of_several_views_the_first_counts(det: tuple[Config, str], tmp_path: Path) -> None:
    """The first one is mirrored, which changes the statistics a little."""
    cfg = copy.deepcopy(det[0])
    use_tta(cfg)
    found = _run((cfg, det[1]), tmp_path, 'adaptive')
    assert sorted(found) == [0, 1, 2]
    dataset, stage = cfg.test_dataloader.dataset, build_enhancer('adaptive').eval()
    paths = find_images(Path(dataset.data_root) / dataset.data_prefix.img)
    for place, path in enumerate(paths):
        image = to_tensor(read_image(path))[None]
        mirrored, plain = (ImageDecision.of(stage.decide(each)) for each in (image.flip(3), image))
        assert found[place].gain == pytest.approx(mirrored.gain, rel=1e-5)
        assert found[place].gain != pytest.approx(plain.gain, rel=1e-5)


@pytest.mark.parametrize('name', ['before(adaptive)', 'select(before(adaptive))'])
def test_a_pipeline_in_other_processes(
    det: tuple[Config, str], wanted: list, tmp_path: Path, name: str
) -> None:
    _check(_run(det, tmp_path, name, num_workers=1), wanted)


@pytest.mark.parametrize('name', ['none', 'gamma', 'before(gamma)'])
def test_without_a_stage_there_is_nothing(
    det: tuple[Config, str], tmp_path: Path, name: str
) -> None:
    assert _run(det, tmp_path, name) == {}


def test_a_batch_that_was_not_asked_about_as_a_whole_is_left_out(
    det: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a gate, which of two images was asked about is unknown."""
    answers = iter([0.0, 1.0, 1.0])
    monkeypatch.setattr(GatedEnhancer, 'gate', lambda self, image: torch.tensor([next(answers, 1)]))
    name = 'GatedEnhancer(enhancer="adaptive")'
    assert sorted(_run(det, tmp_path, name, batch_size=2)) == [2]
