"""SCI's training and its calibrator against the authors' networks spelled out."""

import numpy as np
import pytest
import torch
from torch import nn

import sci_plugins
from sci_plugins.errors import ConfigError
from sci_plugins.functional.losses import exposure_loss, fidelity_loss, smoothness_loss
from sci_plugins.registry import MODELS

GOLDEN = ['sci_difficult', 'sci_medium_batch2']
# Conv biases in front of a BatchNorm: their true gradient is 0.
ZERO_GRADIENTS = {
    'estimator.block_conv.bias',
    'calibrator.in_conv.bias',
    'calibrator.block_conv1.bias',
    'calibrator.block_conv2.bias',
}
# The names that a tensor has in the authors' code -> in ours.
PARTS = {
    'enhance.in_conv.0': 'estimator.in_conv',
    'enhance.conv.0': 'estimator.block_conv',
    'enhance.conv.1': 'estimator.block_norm',
    'enhance.out_conv.0': 'estimator.out_conv',
    'calibrate.in_conv.0': 'calibrator.in_conv',
    'calibrate.in_conv.1': 'calibrator.in_norm',
    'calibrate.convs.0': 'calibrator.block_conv1',
    'calibrate.convs.1': 'calibrator.block_norm1',
    'calibrate.convs.3': 'calibrator.block_conv2',
    'calibrate.convs.4': 'calibrator.block_norm2',
    'calibrate.out_conv.0': 'calibrator.out_conv',
}


def build(**options):
    config = dict(
        type='sci_plugins.SelfCalibratedLearner',
        estimator=dict(type='sci_plugins.SCIEnhancer'),
        calibrator=dict(type='sci_plugins.SelfCalibrator'),
    )
    return MODELS.build(config | options)


def small(**options):
    """Two hidden channels; weights that give gradients and keep the ReLUs alive."""
    model = build(
        estimator=dict(type='sci_plugins.SCIEnhancer', channels=2),
        calibrator=dict(type='sci_plugins.SelfCalibrator', layers=1, channels=2),
        **options,
    )
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):
            nn.init.uniform_(parameter, 0.2, 0.4)
        else:
            nn.init.normal_(parameter, 0, 0.1)
    return model


@pytest.fixture(params=GOLDEN)
def golden(request, shared_data):
    return np.load(shared_data / 'golden' / f'{request.param}.npz')


@pytest.fixture
def official(golden, shared_data, monkeypatch):
    folder = shared_data / 'data' / 'sci_official' / 'weights'
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(folder))
    return build(weights=f'official/{golden["weights"]}')


def read_image(golden):
    pixels = torch.from_numpy(golden['image_uint8_rgb'])
    return pixels.permute(0, 3, 1, 2).float().div(255)


def test_eval_stages_are_the_authors(golden, official):
    with torch.no_grad():
        stages = official.eval()(read_image(golden), mode='tensor')
    assert len(stages) == 3
    for number, stage in enumerate(stages):
        for ours, theirs in (
            (stage.image, 'input'),
            (stage.illumination, 'illumination'),
            (stage.enhanced, 'enhanced'),
        ):
            want = torch.from_numpy(golden[f'eval_stage{number}_{theirs}'])
            torch.testing.assert_close(ours, want, atol=5e-6, rtol=0)


def test_predict_is_the_authors_inference(golden, official):
    with torch.no_grad():
        got = official.eval()(read_image(golden), mode='predict')
    want = torch.from_numpy(golden['eval_enhanced'])
    torch.testing.assert_close(got, want, atol=5e-6, rtol=0)


def test_train_losses_are_the_authors(golden, official):
    with torch.no_grad():
        stages = official.train().cascade(read_image(golden))
    assert len(stages) == 3
    for number, (image, illumination, _) in enumerate(stages):
        for function, name in ((fidelity_loss, 'fidelity'), (smoothness_loss, 'smoothness')):
            want = float(golden[f'train_stage{number}_{name}'])
            got = float(function(illumination, image))
            assert got == pytest.approx(want, rel=1e-5), (number, name)


@pytest.mark.parametrize(
    ('dtype', 'total', 'prefix', 'tolerance'),
    [
        (torch.float64, 'train64_total_loss', 'grad64', 1e-5),
        (torch.float32, 'train_total_loss', 'grad', 2e-3),
    ],
)
def test_total_and_gradients_are_the_authors(golden, official, dtype, total, prefix, tolerance):
    model = official.to(dtype).train()
    loss, logged = model.parse_losses(model(read_image(golden).to(dtype), mode='loss'))
    relative = 1e-8 if dtype == torch.float64 else 1e-5
    assert loss.item() == pytest.approx(float(golden[total]), rel=relative)
    assert set(logged) == {'loss', 'loss_fidelity', 'loss_smoothness'}
    loss.backward()

    keys = [key for key in golden.files if key.startswith(f'{prefix}/')]
    parameters = dict(model.named_parameters())
    assert len(keys) == len(parameters) == 22
    for key in keys:
        part, kind = key.removeprefix(f'{prefix}/').rsplit('.', 1)
        name = f'{PARTS[part]}.{kind}'
        want = torch.from_numpy(golden[key])
        scale = 1.0 if name in ZERO_GRADIENTS else float(want.abs().max())
        error = float((parameters[name].grad - want).abs().max())
        assert error < tolerance * scale, name


def test_losses_are_the_sum_of_the_stages():
    model = small().eval()
    image = torch.rand(2, 3, 8, 9)
    losses = model(image, mode='loss')
    parts = [model.loss(s.illumination, s.image) for s in model.cascade(image)]
    assert len(parts) == 3
    for name in ('fidelity', 'smoothness'):
        torch.testing.assert_close(losses[f'loss_{name}'], sum(p[name] for p in parts))


def test_exposure_judges_the_stage_that_is_used_at_inference():
    model = small(exposure=dict(type='sci_plugins.ExposureLoss', target=0.6, weight=3.0))
    image = torch.rand(2, 3, 6, 6) * 0.2
    losses = model(image, mode='loss')
    first, second, _ = model.cascade(image)
    wanted = 3 * exposure_loss(first.enhanced, image, 0.6)
    torch.testing.assert_close(losses['loss_exposure'], wanted)
    assert (wanted - 3 * exposure_loss(second.enhanced, image, 0.6)).abs() > 1e-6
    model.exposure = None
    plain = model(image, mode='loss')
    assert set(losses) - set(plain) == {'loss_exposure'}


def test_cascade_by_hand():
    model = small().eval()
    image = torch.rand(1, 3, 8, 9)
    first, second, _ = model.cascade(image)
    assert torch.equal(first.image, image)
    change = model.calibrator((image / first.illumination).clamp(0, 1))
    torch.testing.assert_close(second.image, image + change)
    illumination = model.estimator.estimate_illumination(second.image)
    torch.testing.assert_close(second.illumination, illumination)
    torch.testing.assert_close(second.enhanced, (image / illumination).clamp(0, 1))


@pytest.mark.parametrize('stages', [1, 2, 3])
def test_every_parameter_has_a_gradient(stages):
    """DistributedDataParallel needs that, and nothing is computed in vain."""
    model = small(stages=stages).train()
    sum(model(torch.rand(2, 3, 8, 9), mode='loss').values()).backward()
    names = [name for name, p in model.named_parameters() if p.grad is None]
    assert names == []
    assert (model.calibrator is None) == (stages == 1)


def test_the_last_answer_of_the_calibrator_is_not_computed():
    model = build().train()
    model(torch.rand(2, 3, 8, 9), mode='loss')
    assert model.calibrator.in_norm.num_batches_tracked == 2
    assert model.estimator.block_norm.num_batches_tracked == 3


def test_gradcheck_of_the_loss():
    model = small(stages=2).double().eval()  # eval: batch statistics stay out
    nn.init.constant_(model.estimator.out_conv.bias, 0.2)
    nn.init.constant_(model.calibrator.out_conv.bias, -1.0)
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64) * 0.1 + 0.1

    def loss(pixels, *parameters):
        names = [name for name, _ in model.named_parameters()]
        outputs = torch.func.functional_call(
            model, dict(zip(names, parameters, strict=True)), (pixels,), dict(mode='loss')
        )
        return sum(outputs.values())

    with torch.no_grad():
        for stage in model.cascade(image):
            assert stage.illumination.min() > 2e-4
            assert stage.illumination.max() < 0.999
            assert stage.enhanced.max() < 0.999
    inputs = [image.requires_grad_(), *model.parameters()]
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    assert all(g.abs().max() > 1e-6 for g in gradients)


@pytest.mark.skipif(
    torch.__version__.startswith('2.4.'), reason='torch 2.4 cannot trace `out=` here'
)
@pytest.mark.slow  # its parts are compiled beside their own tests
def test_a_compiler_takes_the_loss_whole():
    """As `torch.compile` would trace it, without waiting for a C++ compiler."""
    model = small(stages=2).double().train()
    image = torch.rand(2, 3, 8, 9, dtype=torch.float64)

    def total():
        return sum(model(image, mode='loss').values())

    compiled = torch.compile(total, backend='aot_eager', fullgraph=True)
    grads = [
        torch.autograd.grad(function(), list(model.parameters())) for function in (compiled, total)
    ]
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


def test_on_a_cpu_memory_is_channels_last():
    """Converted once, not by every convolution."""
    stages = build().train().cascade(torch.rand(1, 3, 8, 9))
    for stage in stages:
        for value in stage:
            assert value.is_contiguous(memory_format=torch.channels_last)


def test_training_lowers_the_loss():
    torch.manual_seed(1)
    model = build().train()
    image = torch.rand(2, 3, 16, 16) * 0.2
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    totals = []
    for _ in range(15):
        total = sum(model(image, mode='loss').values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.8 * totals[0]


def test_without_arguments_it_is_the_authors_network():
    """3 stages; 252 + 6 parameters of the estimator, 5619 of the calibrator."""
    model = sci_plugins.SelfCalibratedLearner()
    assert model.stages == 3
    sizes = [
        sum(p.numel() for p in part.parameters()) for part in (model.estimator, model.calibrator)
    ]
    assert sizes == [258, 5619]
    assert repr(model.loss) == repr(MODELS.build(dict(type='sci_plugins.SCILoss')))
    losses = model(torch.rand(1, 3, 6, 7), mode='loss')
    assert set(losses) == {'loss_fidelity', 'loss_smoothness'}


def test_takes_modules_and_names(tmp_path):
    estimator = sci_plugins.SCIEnhancer(channels=2)
    calibrator = sci_plugins.SelfCalibrator(layers=1, channels=2)
    loss = sci_plugins.SCILoss(sigma=0.1)
    model = sci_plugins.SelfCalibratedLearner(estimator, calibrator, loss=loss)
    assert (model.estimator, model.calibrator) == (estimator, calibrator)
    assert model.loss is loss
    named = sci_plugins.SelfCalibratedLearner('SCIEnhancer(channels=5)')
    assert named.estimator.channels == 5


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_dtype_and_device(dtype, device):
    model = build().to(device, dtype)
    inputs = torch.rand(1, 3, 6, 7, device=device, dtype=dtype)
    got = model(inputs, mode='predict')
    assert (got.dtype, got.device.type, got.shape) == (dtype, device.type, inputs.shape)


def test_losses_under_autocast_are_float32():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = build()(torch.rand(1, 3, 8, 8), mode='loss')
    assert {value.dtype for value in losses.values()} == {torch.float32}


def test_other_loss_options_reach_the_stages():
    image = torch.rand(1, 3, 8, 8)
    model = small(loss=dict(type='sci_plugins.SCILoss', smoothness_weight=0.0)).eval()
    assert float(model(image, mode='loss')['loss_smoothness']) == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(stages=0), 'stages must be at least 1, got 0'),
        (dict(estimator=dict(type='sci_plugins.IdentityEnhancer')), 'RetinexEnhancer'),
    ],
)
def test_refuses_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_refuses_wrong_inputs():
    model = build()
    with pytest.raises(TypeError, match='default_collate'):
        model([torch.rand(3, 8, 8)], mode='loss')
    with pytest.raises(ValueError, match=r'shape \(N, 3, H, W\)'):
        model(torch.rand(1, 4, 8, 8), mode='loss')
    with pytest.raises(TypeError, match='float image'):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), mode='loss')
    with pytest.raises(ValueError, match="got 'train'"):
        model(torch.rand(1, 3, 8, 8), mode='train')


def build_calibrator(**options):
    return MODELS.build(dict(type='sci_plugins.SelfCalibrator', **options))


def reference(calibrator, image):
    """The authors' network spelled out: a block is a Sequential, used three times."""
    head = nn.Sequential(calibrator.in_conv, calibrator.in_norm, nn.ReLU())
    block = nn.Sequential(
        calibrator.block_conv1,
        calibrator.block_norm1,
        nn.ReLU(),
        calibrator.block_conv2,
        calibrator.block_norm2,
        nn.ReLU(),
    )
    features = head(image)
    for _ in range(calibrator.layers):
        features = features + block(features)
    return image - nn.Sequential(calibrator.out_conv, nn.Sigmoid())(features)


@pytest.mark.parametrize('layers', [0, 1, 3])
def test_equals_the_authors_network(layers):
    calibrator = build_calibrator(layers=layers, channels=4).eval()
    image = torch.rand(2, 3, 7, 9)
    got = calibrator(image)
    torch.testing.assert_close(got, reference(calibrator, image))
    assert got.shape == image.shape
    assert got.abs().max() <= 1


def test_default_architecture_and_initialisation():
    calibrator = build_calibrator()
    assert sum(p.numel() for p in calibrator.parameters()) == 5619
    weights = torch.cat(
        [
            module.weight.flatten()
            for module in calibrator.modules()
            if isinstance(module, nn.Conv2d)
        ]
    )
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.1)
    norms = [m for m in calibrator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3
    assert float(torch.cat([m.weight for m in norms]).mean()) == pytest.approx(1, abs=0.02)
    biases = [p for name, p in calibrator.named_parameters() if name.endswith('bias')]
    assert not torch.cat(biases).any()


@pytest.mark.parametrize('options', [dict(layers=-1), dict(channels=0), dict(layers=1.5)])
def test_the_calibrator_refuses_wrong_options(options):
    with pytest.raises(ConfigError, match=f'{next(iter(options))} must be'):
        build_calibrator(**options)


def test_says_what_it_is():
    assert 'layers=3, channels=16' in repr(build_calibrator())
