"""Real host models from their own configs, with the two keys merged into them."""

import copy
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TRANSFORMS, init_default_scope
from mmengine.runner import Runner

import sci_plugins
from sci_plugins.engine.hooks import EnhancementLossHook
from sci_plugins.registry import MODELS
from tests import host_models
from tests.plain_sci import enhance_host_image, read_weights, save_visible_weights

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    """At 64 pixels a second thread only costs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_visible_weights(tmp_path_factory.mktemp('weights') / 'visible.pth')


@pytest.fixture(scope='module', params=host_models.parameters())
def pair(request: pytest.FixtureRequest, weights: Path) -> Any:
    """A plain model, and one that was built from the same config with two more keys."""
    host, cfg, size = host_models.host_config(request.param)
    init_default_scope(host)
    torch.manual_seed(0)
    plain = ROOT_MODELS.build(copy.deepcopy(cfg.model)).eval()
    if request.param == 'Deformable DETR':  # whose constructor leaves a parameter unset
        plain.init_weights()
    enhanced = ROOT_MODELS.build(host_models.two_keys(cfg, host, weights).model).eval()
    image = torch.randint(0, 90, (3, size, size), dtype=torch.uint8)
    return host, plain, enhanced, image


def test_a_day_checkpoint_loads_whole(pair: Any) -> None:
    _, plain, enhanced, _ = pair
    loaded = enhanced.load_state_dict(plain.state_dict(), strict=True)
    assert not loaded.missing_keys
    assert not loaded.unexpected_keys
    state = enhanced.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    ours = {key for key in state if key not in plain.state_dict()}
    assert len(ours) == 11
    assert all(key.startswith('data_preprocessor.enhancer.') for key in ours)


def test_enhancing_by_hand_gives_the_same(pair: Any, weights: Path) -> None:
    host, plain, enhanced, image = pair
    enhanced.load_state_dict(plain.state_dict(), strict=True)
    by_hand = enhance_host_image(read_weights(weights), image)
    assert (by_hand - image).abs().mean() > 10  # one that does nothing proves nothing

    inside, outside, bare = (
        host_models.raw_outputs(model, host_models.batch(host, [picture]))
        for model, picture in ((enhanced, image), (plain, by_hand), (plain, image))
    )
    assert len(inside) == len(outside) > 0
    # Random heads give numbers from 1e-2 to 1e4: tolerances go by the largest.
    scale = max(float(tensor.abs().max()) for tensor in outside)
    for ours, theirs in zip(inside, outside, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * scale)
    assert any(
        a.shape != b.shape or float((a - b).abs().max()) > 1e-3 * scale
        for a, b in zip(inside, bare, strict=True)
    )


def test_an_attached_model_predicts_as_on_images_enhanced_by_hand(pair: Any, weights: Path) -> None:
    host, plain, _, image = pair
    if type(getattr(plain, 'bbox_head', None)).__name__ == 'SSDHead':
        pytest.skip("mmdet's own SSDHead has no loss_cls, which its predict asks for")
    model = sci_plugins.attach(copy.deepcopy(plain), f'sci/{weights}')
    by_hand = enhance_host_image(read_weights(weights), image)
    found = []
    for each, picture in ((model, image), (plain, by_hand)):
        torch.manual_seed(0)
        (sample,) = each.test_step(host_models.batch(host, [picture]))
        is_det = host == 'mmdet'
        found.append(sample.pred_instances.scores if is_det else sample.pred_sem_seg.data)
    assert found[0].shape == found[1].shape
    agree = torch.isclose(found[0].float(), found[1].float(), atol=1e-4)
    assert agree.float().mean() > 0.99 if agree.numel() else host == 'mmdet'


@pytest.fixture
def running() -> Any:
    """What such heads read from MMEngine's message hub while a Runner trains."""
    from mmengine.logging import MessageHub

    hub = MessageHub.get_current_instance()
    for name, value in dict(epoch=0, iter=0, max_epochs=1, max_iters=1).items():
        hub.update_info(name, value)
    return hub


@pytest.mark.usefixtures('running')
@pytest.mark.parametrize('frozen', [False, True])
def test_a_train_step_reaches_the_enhancer_unless_frozen(
    pair: Any, weights: Path, frozen: bool
) -> None:
    host, plain, _, image = pair
    model = copy.deepcopy(plain)
    sci_plugins.attach(model, f'sci/{weights}', frozen=frozen)
    model.train()
    gradients: dict[str, float] = {}
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
    for name, parameter in model.data_preprocessor.enhancer.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(
                lambda grad, name=name: gradients.update({name: float(grad.abs().max())})
            )
    if not frozen:
        EnhancementLossHook().before_train(SimpleNamespace(model=model))
    data = host_models.batch(host, [image, image.flip(2)])  # two: BatchNorm on 1x1 maps
    losses = model.train_step(data, optimizer)

    assert any('loss' in key for key in losses)
    assert ('loss_enhance_fidelity' in losses) is not frozen
    assert len(gradients) == (0 if frozen else 8)
    assert frozen or max(gradients.values()) > 0
    copy.deepcopy(model)  # no graph is left in it


@pytest.mark.slow
def test_yolox_trains_as_its_config_says(tmp_path: Path, weights: Path) -> None:
    """Mosaic, affine, colours, EMA of the enhancer, and its own hooks."""
    host, cfg, _ = host_models.host_config('YOLOX')
    cfg = _on_tiny_images(cfg, tmp_path)
    runner = Runner.from_cfg(host_models.two_keys(cfg, host, weights, frozen=False))
    runner.train()
    enhancer = runner.model.data_preprocessor.enhancer
    start = read_weights(weights)
    assert (enhancer.out_conv.bias - start['out_conv.bias']).abs().max() > 1e-6
    content = torch.load(tmp_path / 'work' / 'epoch_2.pth', weights_only=False)
    name = 'data_preprocessor.enhancer.out_conv.bias'
    assert torch.equal(content['ema_state_dict'][f'module.{name}'], enhancer.out_conv.bias)
    averaged = content['state_dict'][name]
    assert (averaged - start['out_conv.bias']).abs().max() > 1e-6
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert 'loss_enhance_smoothness' in log.read_text()
    assert 'bbox_mAP' in log.read_text()  # it validates, too


def _on_tiny_images(cfg: Any, folder: Path) -> Any:
    """YOLOX' config on our images: sizes and paths change, the transforms stay."""
    tiny = TINY['write_detection'](folder)
    data = dict(
        data_root=f'{tiny.parent}/',
        ann_file='coco.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('thing',)),
    )
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    train.dataset.update(data)
    train.dataset.filter_cfg = None
    val.update(data)
    for step in (*train.pipeline, *val.pipeline):
        for key in ('img_scale', 'scale'):
            if key in step:
                step[key] = (64, 64)
        if step.type == 'RandomAffine':
            step.border = (-32, -32)
    cfg.model.bbox_head.num_classes = 1
    cfg.model.test_cfg.score_thr = 0  # without a prediction, mmdet's metric is empty
    cfg.model.data_preprocessor.batch_augments[0].random_size_range = (64, 96)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.val_evaluator.ann_file = f'{tiny.parent}/coco.json'
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.param_scheduler = None
    cfg.custom_hooks.append(dict(type='sci_plugins.EnhancementLossHook'))
    cfg.visualizer = dict(type='Visualizer', vis_backends=[])
    cfg.work_dir, cfg.log_level = str(folder / 'work'), 'INFO'
    cfg.experiment_name = f'yolox_{folder.name}'
    return cfg


@pytest.mark.parametrize('distort', ['before', 'after'])
def test_ssd_s_expand_fills_a_colour_that_can_be_named(weights: Path, distort: str) -> None:
    """It stays what the host's mean is, unless colours change after it."""
    mean, image = [123.675, 116.28, 103.53], torch.randint(0, 90, (40, 50, 3)).byte()
    expand = dict(type='mmdet.Expand', mean=mean, ratio_range=(3, 3), prob=1)
    steps = [dict(type='mmdet.PhotoMetricDistortion'), expand]
    results = dict(img=image.numpy(), gt_bboxes=_boxes())
    for step in steps if distort == 'before' else reversed(steps):
        results = TRANSFORMS.build(step)(results)
    inputs = torch.from_numpy(results['img'].copy()).permute(2, 0, 1)
    fill = torch.tensor(mean[::-1]).view(3, 1, 1)
    preprocessor = MODELS.build(
        dict(
            type='sci_plugins.EnhancedDetDataPreprocessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
            fill_color=mean[::-1],
        )
    )
    (output,) = preprocessor(dict(inputs=[inputs], data_samples=None), True)['inputs']
    stays = float((output == fill).all(0).float().mean())
    assert stays == pytest.approx(8 / 9, abs=0.02) if distort == 'before' else stays == 0


def _boxes() -> Any:
    from mmdet.structures.bbox import HorizontalBoxes

    return HorizontalBoxes(torch.tensor([[1.0, 2.0, 30.0, 30.0]]))
