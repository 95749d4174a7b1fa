"""The hosts' inferencers and test-time augmentation with an enhancer in front."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from sci_plugins.apis.config import load_config
from sci_plugins.utils.checkpoint import load_fully, read_checkpoint
from sci_plugins.utils.images import read_image
from tests.host_models import two_keys
from tests.plain_sci import enhance_host_image, read_weights, save_visible_weights

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
WRITERS = dict(mmdet='write_detection', mmseg='write_segmentation')


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Case(NamedTuple):
    """A plain config, the same with the two keys, and one day checkpoint for both."""

    host: str
    plain: Config
    enhanced: Config
    checkpoint: str
    weights: Path
    images: list[Path]


@pytest.fixture(scope='module', params=list(WRITERS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    host, folder = request.param, tmp_path_factory.mktemp(request.param)
    path = TINY[WRITERS[host]](folder)
    meta = dict(classes=('a', 'b', 'c'), palette=[[9, 9, 9], [0, 200, 0], [0, 0, 200]])
    checkpoint = TINY['write_checkpoint'](path, dataset_meta=meta)
    weights = save_visible_weights(folder / 'sci.pth')
    plain, enhanced = load_config(str(path)), load_config(str(path))
    for cfg in (plain, enhanced):
        kind = dict(mmdet='DetLocalVisualizer', mmseg='SegLocalVisualizer')[host]
        cfg.visualizer = dict(type=kind, name='visualizer', vis_backends=[])
    two_keys(enhanced, host, weights)
    images = sorted((folder / 'images').iterdir())
    return Case(host, plain, enhanced, str(checkpoint), weights, images)


def _inferencer(case: Case, cfg: Config) -> Any:
    """As in the hosts' own documentation."""
    if case.host == 'mmdet':
        from mmdet.apis import DetInferencer

        return DetInferencer(cfg, case.checkpoint, 'cpu', show_progress=False)
    from mmseg.apis import MMSegInferencer

    return MMSegInferencer(cfg, case.checkpoint, device='cpu')


def _by_hand(case: Case, path: Path) -> np.ndarray:
    """The enhanced image, BGR ``(H, W, 3)`` in [0, 255], not rounded."""
    image = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1).flip(0)
    return enhance_host_image(read_weights(case.weights), image).permute(1, 2, 0).numpy()


def _predictions(case: Case, result: dict) -> list[Any]:
    if case.host == 'mmseg':
        found = result['predictions']
        return [found] if isinstance(found, np.ndarray) else found
    return [np.c_[each['scores'], each['bboxes']] for each in result['predictions']]


def test_inferencers(case: Case, tmp_path: Path) -> None:
    plain, enhanced = (_inferencer(case, cfg) for cfg in (case.plain, case.enhanced))
    paths = [str(path) for path in case.images]
    found = _predictions(case, enhanced(paths, batch_size=2))
    by_hand = [_by_hand(case, path) for path in case.images]
    wanted = _predictions(case, plain(by_hand, batch_size=2))
    bare = _predictions(case, plain(paths, batch_size=2))
    assert len(found) == len(wanted) == len(case.images)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.size > 0
        if case.host == 'mmdet':
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
        else:  # a pixel on the border of two classes may fall to either
            assert (ours == theirs).mean() > 0.999
    assert any(
        ours.shape != other.shape or not np.allclose(ours, other, rtol=0, atol=1e-2)
        for ours, other in zip(found, bare, strict=True)
    )

    result = enhanced(paths[0], return_vis=True, out_dir=str(tmp_path))
    picture = np.asarray(result['visualization'])  # mmseg leaves out a list of one
    assert picture.reshape(48, 64, 3).dtype == np.uint8
    assert list(tmp_path.rglob('*000.png'))


def _tta_model(case: Case, cfg: Config) -> Any:
    """The model as the hosts' own tools build it for ``--tta``."""
    init_default_scope(case.host)
    kind: dict[str, Any] = dict(type='SegTTAModel')
    if case.host == 'mmdet':
        nms = dict(type='nms', iou_threshold=0.9)
        kind = dict(type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=50))
    model = MODELS.build(ConfigDict(kind, module=cfg.copy().model))
    load_fully(model.module, read_checkpoint(case.checkpoint), case.checkpoint)
    return model.eval()


def _augmented(case: Case) -> dict:
    """Two sizes, with and without a flip, of two images."""
    pack = 'PackDetInputs' if case.host == 'mmdet' else 'PackSegInputs'
    keys = ('ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
    pipeline = Compose(
        [
            dict(type='LoadImageFromFile'),
            dict(
                type='TestTimeAug',
                transforms=[
                    [dict(type='Resize', scale=size) for size in ((64, 48), (96, 72))],
                    [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
                    [dict(type=pack, meta_keys=('img_path', *keys))],
                ],
            ),
        ]
    )
    return pseudo_collate([pipeline(dict(img_path=str(p))) for p in case.images[:2]])


def _merged(case: Case, model: Any, data: dict) -> list[Tensor]:
    samples = model.test_step(data)
    if case.host == 'mmseg':
        return [sample.pred_sem_seg.data for sample in samples]
    found = [sample.pred_instances for sample in samples]
    return [torch.cat([each.scores[:, None], each.bboxes], 1) for each in found]


def test_test_time_augmentation(case: Case) -> None:
    init_default_scope(case.host)
    data = _augmented(case)
    assert len(data['inputs']) == 4
    state = read_weights(case.weights)
    by_hand = [[enhance_host_image(state, x) for x in view] for view in data['inputs']]
    plain, enhanced = (_tta_model(case, cfg) for cfg in (case.plain, case.enhanced))
    bare = _merged(case, plain, _augmented(case))
    wanted = _merged(case, plain, dict(_augmented(case), inputs=by_hand))
    found = _merged(case, enhanced, data)
    assert len(found) == 2
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.numel() > 0
        if case.host == 'mmdet':
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
        else:
            assert (ours == theirs).float().mean() > 0.999
    assert any(
        ours.shape != other.shape or not torch.allclose(ours, other, rtol=0, atol=1e-2)
        for ours, other in zip(found, bare, strict=True)
    )
