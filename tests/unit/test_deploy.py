"""A model with its enhancer as one ONNX file."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

import sci_plugins
from sci_plugins import deploy
from sci_plugins.apis.compare.contenders import build_model
from sci_plugins.apis.config import load_config
from sci_plugins.deploy import Deployable, deployable_enhancer, export_onnx
from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.functional.blocking import estimate_blocking
from sci_plugins.registry import MODELS
from tests.host_models import host_config
from tests.run_tool import run_tool

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
pytest.importorskip('mmdet')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
ROOT = Path(__file__).parents[2]
LOL = 'sci/sci_plugins/lol'


#: The detector's graph is the longer one; the segmentor's takes the same way.
HOSTS = pytest.mark.parametrize(
    'files', [pytest.param('detection', marks=pytest.mark.slow), 'segmentation'], indirect=True
)


@pytest.fixture(scope='module', params=['detection', 'segmentation'])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = TINY[f'write_{request.param}'](tmp_path_factory.mktemp('set'))
    return str(config), str(TINY['write_checkpoint'](config))


def _images(count: int, height: int, width: int) -> Tensor:
    torch.manual_seed(count + height)
    return torch.randint(0, 70, (count, 3, height, width)).byte()


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [found for each in output for found in _tensors(each)]


def _three_lights(height: int, width: int) -> Tensor:
    """Dark, darker and bright: the adaptive stage decides differently for each."""
    images = _images(3, height, width)
    images[1] //= 8
    images[2] = torch.linspace(60, 230, width).byte()
    return images


@pytest.mark.parametrize('enhancer', [LOL, 'adaptive'])
def test_it_is_the_model_with_its_enhancer(files: Any, enhancer: str) -> None:
    model = sci_plugins.attach(build_model(load_config(files[0]), files[1]), enhancer)
    images = _three_lights(64, 96)
    deployable = Deployable(model)
    with torch.no_grad():
        wanted = _real_path(model, images)
        found = deployable(images)
        plain = Deployable(sci_plugins.detach(model))(images)
    assert len(found) == len(wanted) > 0
    for ours, theirs in zip(found, wanted, strict=True):
        assert deploy.difference(ours.numpy(), theirs.numpy()) < 1e-5
    assert not torch.allclose(found[0], plain[0], atol=1e-3)


def _real_path(model: Any, images: Tensor) -> list[Tensor]:
    samples = [BaseDataElement() for _ in images]
    data = model.data_preprocessor(dict(inputs=list(images), data_samples=samples))
    return _tensors(model(data['inputs'], None, mode='tensor'))


@pytest.mark.slow
def test_adaptive_and_network_in_one_file(tmp_path: Path) -> None:
    cfg = load_config(str(ROOT / 'configs/night/fast-scnn_w50_40e_camvid.py'))
    init_default_scope('mmseg')
    model = sci_plugins.attach(MODELS.build(cfg.model).eval(), 'adaptive')
    lines = export_onnx(Deployable(model), tmp_path / 'x.onnx')
    assert 'Nx3xHxW' in lines[0]
    session = onnxruntime.InferenceSession(tmp_path / 'x.onnx')
    for height, width in ((96, 256), (224, 320)):
        images = _three_lights(height, width)
        with torch.no_grad():
            (wanted,) = _real_path(model, images)
        (found,) = session.run(None, {'images': images.numpy()})
        # The stage itself moves them by 5e-3.
        assert np.abs(found - wanted.numpy()).max() <= 1e-6 * wanted.abs().max()


@HOSTS
@pytest.mark.parametrize('kind', ['trace', 'export'])
def test_it_is_plain_for_torch_s_own_formats(files: Any, kind: str, tmp_path: Path) -> None:
    model = sci_plugins.attach(build_model(load_config(files[0]), files[1]), LOL)
    deployable, images = Deployable(model), _images(2, 64, 96)
    with torch.no_grad():
        if kind == 'trace':
            torch.jit.trace(deployable, (images,)).save(tmp_path / 'x')
            again = torch.jit.load(tmp_path / 'x')
        else:
            sizes = (dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO),)
            program = torch.export.export(deployable, (images,), dynamic_shapes=sizes)
            torch.export.save(program, tmp_path / 'x.pt2')
            again = torch.export.load(tmp_path / 'x.pt2').module()
        for other in (images, _images(3, 96, 64)):
            for ours, theirs in zip(again(other), deployable(other), strict=True):
                assert deploy.difference(ours.numpy(), theirs.numpy()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('name', ['Faster R-CNN', 'DETR', 'Deformable DETR', 'Mask2Former'])
def test_hosts_whose_raw_outputs_need_samples(name: str, tmp_path: Path) -> None:
    host, cfg, _ = host_config(name)
    init_default_scope(host)
    model = sci_plugins.attach(MODELS.build(cfg.model), LOL)
    with pytest.raises(ConfigError, match='its raw outputs need data samples') as caught:
        export_onnx(Deployable(model), tmp_path / 'x.onnx')
    assert type(model).__name__ in str(caught.value)
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('results', 'message'),
    [
        ([1.0, torch.nan], 'differs from PyTorch by nan'),
        ([1.0, 1.5], 'differs from PyTorch by 5.0e-01'),
        ([1.0], 'expected 2 outputs, got 1'),
    ],
)
def test_a_runtime_that_gives_something_else_is_refused(
    results: list[float], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only in its first output."""
    found = [np.full((1, 3), value, np.float32) for value in results]
    monkeypatch.setattr(deploy, 'runtimes', lambda: {'Other': lambda content: lambda _: found})
    call: Any = lambda images: (torch.ones(1, 3), torch.ones(1, 3))  # noqa: E731
    with pytest.raises(ConfigError, match=message):
        list(deploy._check(call, b'', [1, 3, 32, 32], (32, 32), 32))


@HOSTS
def test_the_tool_writes_what_it_checked(files: Any, tmp_path: Path) -> None:
    out = tmp_path / 'model.onnx'
    code, told, err = run_tool('export', *files, '--enhancer', LOL, '--out', out)
    assert code == 0, err
    assert 'uint8 NxHxW'.replace('xH', 'x3xH') in told
    assert 'ONNX Runtime: at most' in told
    facts = {each.key: each.value for each in onnx.load(out).metadata_props}
    assert facts['enhancer'] == 'SCIEnhancer'
    assert facts['enhancer_name'] == LOL
    assert (facts['order'], len(facts['weights_sha256'])) == ('bgr', 64)
    assert len(json.loads(facts['mean'])) == len(json.loads(facts['std'])) == 3
    assert json.loads(facts['classes'])
    model = sci_plugins.attach(build_model(load_config(files[0]), files[1]), LOL)
    images = _images(3, 96, 64)
    found = onnxruntime.InferenceSession(out).run(None, {'images': images.numpy()})
    with torch.no_grad():
        for ours, theirs in zip(found, Deployable(model)(images), strict=True):
            assert np.abs(ours - theirs.numpy()).max() <= 1e-4 * theirs.abs().max()
    code, _, err = run_tool('export', *files, '--out', out)
    assert code == 2
    assert 'exists' in err


@pytest.mark.parametrize(
    'name', [f'gated/{LOL}', *(pytest.param(n, marks=pytest.mark.slow) for n in (LOL, 'gamma/0.4'))]
)
def test_an_enhancer_alone(name: str, tmp_path: Path) -> None:
    out = tmp_path / 'e.onnx'
    code, told, err = run_tool('export', '--enhancer-only', '--enhancer', name, '--out', out)
    assert code == 0, err
    assert '1x192x128, 2x128x160' in told
    images = torch.cat([_images(1, 40, 50), _images(1, 40, 50) // 20 + 230])
    (found,) = onnxruntime.InferenceSession(out).run(None, {'images': images.numpy()})
    rgb = images.flip(1).float() / 255
    with torch.no_grad():
        wanted = sci_plugins.build_enhancer(name).eval()(rgb).flip(1) * 255
    assert np.abs(found - wanted.numpy()).max() < 0.01


@pytest.mark.slow
def test_the_adaptive_stage_decides_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / 'a.onnx'
    export_onnx(deployable_enhancer('adaptive'), out)
    eager = deployable_enhancer('adaptive')
    # A tie of the regions' number (12 * 96 / 256), sides that no level divides, more blocks.
    for height, width in ((96, 256), (43, 50), (240, 320)):
        images = _three_lights(height, width)
        (found,) = onnxruntime.InferenceSession(out).run(None, {'images': images.numpy()})
        alone = [
            onnxruntime.InferenceSession(out).run(None, {'images': each[None].numpy()})[0]
            for each in images
        ]
        with torch.no_grad():
            (wanted,) = eager(images)
        assert np.abs(found - wanted.numpy()).max() < 1e-6 * 255
        np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-4)
    # A sky without red, brighter than the ground: none of it is usable.
    images[1, :2, :120] += 90
    images[1, 2, :120] = 0
    (found,) = onnxruntime.InferenceSession(out).run(None, {'images': images.numpy()})
    with torch.no_grad():
        (wanted,) = eager(images)
    assert np.abs(found - wanted.numpy()).max() < 3e-5 * 255
    # Compressed in the dark, and too small to tell.
    for size in ((96, 160), (48, 160)):
        blocks = torch.randint(20, 30, (1, 1, size[0] // 8, size[1] // 8), dtype=torch.float32)
        images = F.interpolate(blocks.expand(1, 3, -1, -1), scale_factor=8).byte()
        (found,) = onnxruntime.InferenceSession(out).run(None, {'images': images.numpy()})
        with torch.no_grad():
            (wanted,) = eager(images)
            evidence = estimate_blocking(images.float() / 255).evidence
        assert evidence.item() == (size == (96, 160))
        assert np.abs(found - wanted.numpy()).max() < 1e-6 * 255
    images = _three_lights(240, 320)
    off = onnx.load(out)
    for tensor in off.graph.initializer:
        if '.controller.out.' in tensor.name:
            values = np.full(tensor.dims, -20 * tensor.name.endswith('bias'), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    session = onnxruntime.InferenceSession(off.SerializeToString())
    (found,) = session.run(None, {'images': images.numpy()})
    np.testing.assert_allclose(found, images.numpy(), atol=2e-5)  # x / 255 * 255


class _Small(nn.Module):
    enhancer, order, divisor = nn.Identity(), 'bgr', 1

    def forward(self, images: Tensor) -> Any:
        return (images.float() * 0 + 1e-9,)


def test_small_summands_are_kept(tmp_path: Path) -> None:
    export_onnx(_Small(), tmp_path / 'x.onnx')


class _Pools(_Small):
    def forward(self, images: Tensor) -> Any:
        return tuple(F.adaptive_avg_pool2d(images.float(), size) for size in (6, (3, None)))


@pytest.mark.slow
def test_adaptive_pooling_at_any_size(tmp_path: Path) -> None:
    lines = export_onnx(_Pools(), tmp_path / 'x.onnx')
    assert '2x192x128' in lines[1]


class _TwoStage(nn.Module):
    enhancer, order, divisor = nn.Identity(), 'bgr', 1

    def forward(self, images: Tensor) -> Any:
        return None.metainfo  # type: ignore[attr-defined]


class _Wrong(_TwoStage):
    """Gives other numbers while it is exported."""

    def forward(self, images: Tensor) -> Any:
        return (images.float() + float(torch.compiler.is_exporting()),)


@pytest.mark.parametrize(
    ('module', 'message'),
    [
        (deployable_enhancer('temporal/gamma'), 'cannot export TemporalEnhancer'),
        (_TwoStage(), 'its raw outputs need data samples'),
        (_Wrong(), 'not written: ONNX Runtime differs from PyTorch by'),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(module: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        export_onnx(module, tmp_path / 'x.onnx')
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class _OpenVINO:
    """OpenVINO as on a processor with bfloat16: not exact unless it is told."""

    def Core(self) -> Any:
        return self

    def read_model(self, content: bytes) -> Any:
        return onnxruntime.InferenceSession(content)

    def compile_model(self, session: Any, device: str, hints: dict[str, Any]) -> Any:
        assert device == 'CPU'
        assert hints['INFERENCE_NUM_THREADS'] == 0
        off = 1 if hints.get('INFERENCE_PRECISION_HINT') == 'f32' else 1.003
        return lambda images: {0: session.run(None, {'images': images})[0] * off}


def test_openvino_is_asked_for_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, 'find_spec', lambda name: name == 'openvino')
    monkeypatch.setitem(sys.modules, 'openvino', _OpenVINO())
    lines = export_onnx(_Small(), tmp_path / 'x.onnx')
    assert [line.partition(' at most')[0] for line in lines[1:]] == ['ONNX Runtime:', 'OpenVINO:']
    monkeypatch.setattr(_OpenVINO, 'read_model', lambda *_: 1 / 0)
    with pytest.raises(ConfigError, match=r'OpenVINO cannot run the file at 1x128.* division'):
        export_onnx(_Small(), tmp_path / 'y.onnx')


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = deployable_enhancer('none')
    module.divisor = 32
    with pytest.raises(ConfigError, match='multiples of 32, got 100 64'):
        export_onnx(module, tmp_path / 'x.onnx', size=(100, 64))
    with pytest.raises(ConfigError, match="order must be 'bgr' or 'rgb'"):
        deployable_enhancer('none', 'hsv')
    monkeypatch.setattr('sci_plugins.registry.find_spec', lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'sci_plugins\[deploy\]'):
        deploy.export_onnx(module, tmp_path / 'x.onnx')
    code, _, err = run_tool('export', '--out', tmp_path / 'x.onnx')
    assert code == 2
    assert 'expected CONFIG CHECKPOINT, or --enhancer-only' in err


@pytest.mark.slow
def test_the_guide_finds_the_models_boxes(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of docs/deploy.md, on a real photograph in the dark, with real weights."""
    cv2 = pytest.importorskip('cv2')
    config = ROOT / 'configs/coco/yolox-nano_published_coco-80.py'
    weights = shared_data / 'data/yolox_nano/yolox_nano_mmdet.pth'
    photo = sorted((shared_data / 'data/coco/val2017').glob('*.jpg'))[3]
    image = (cv2.resize(cv2.imread(str(photo)), (416, 416)) * 0.3).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'night.png'), image)
    model = sci_plugins.attach(build_model(load_config(str(config)), str(weights)), LOL)
    export_onnx(Deployable(model), tmp_path / 'model.onnx')
    guide = (ROOT / 'docs/deploy.md').read_text()
    found: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(guide.split('```python\n')[1].split('```')[0], found)

    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=(416, 416), scale_factor=(1, 1)))
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    with torch.no_grad():
        result = model.test_step(dict(inputs=[tensor], data_samples=[sample]))[0].pred_instances
    wanted = result[result.scores > 0.3]
    assert len(wanted) == len(found['boxes']) > 0
    order = np.argsort(-found['scores'])
    corners = found['boxes'][order].copy()
    corners[:, 2:] += corners[:, :2]
    np.testing.assert_allclose(found['scores'][order], wanted.scores.numpy(), atol=1e-4)
    np.testing.assert_allclose(corners, wanted.bboxes.numpy(), atol=0.05)
    np.testing.assert_array_equal(found['labels'][order], wanted.labels.numpy())
