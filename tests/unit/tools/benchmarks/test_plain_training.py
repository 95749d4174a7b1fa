"""The plain implementation is the authors', and shares nothing with the fast one."""

import numpy as np
import pytest
import torch

from benchmarks.plain_training import plain_loss, plain_smoothness
from sci_plugins.functional import losses
from sci_plugins.models.learners import SelfCalibratedLearner


@pytest.mark.parametrize('name', ['sci_difficult', 'sci_medium_batch2'])
def test_total_and_gradients_are_the_authors(name, shared_data, monkeypatch):
    golden = np.load(shared_data / 'golden' / f'{name}.npz')
    weights = shared_data / 'data' / 'sci_official' / 'weights'
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(weights))
    learner = SelfCalibratedLearner(weights=f'official/{golden["weights"]}').double()
    pixels = torch.from_numpy(golden['image_uint8_rgb'])
    image = pixels.permute(0, 3, 1, 2).double().div(255)
    loss = plain_loss(learner.train(), image)
    assert loss.item() == pytest.approx(float(golden['train64_total_loss']), rel=1e-8)
    loss.backward()
    want = torch.from_numpy(golden['grad64/enhance.in_conv.0.weight'])
    got = learner.estimator.in_conv.weight.grad
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5


def test_smoothness_has_its_own_arithmetic(monkeypatch):
    pair = torch.rand(2, 1, 3, 6, 7, dtype=torch.float64).unbind()
    want = float(losses.smoothness_loss(*pair, sigma=0.2))
    monkeypatch.setattr(losses, 'weighted_variation', None)
    monkeypatch.setattr(losses, 'guide_colors', None)
    assert float(plain_smoothness(*pair, sigma=0.2)) == pytest.approx(want, rel=1e-12)


def test_nothing_is_fused_and_the_calibrator_runs_for_each_stage(monkeypatch):
    learner = SelfCalibratedLearner()
    for part in (learner, learner.estimator, learner.calibrator):
        monkeypatch.setattr(type(part), 'forward', None)
    monkeypatch.setattr(type(learner), 'cascade', None)
    monkeypatch.setattr(type(learner.estimator), 'estimate_illumination', None)
    calls = []
    learner.calibrator.out_conv.register_forward_hook(lambda *args: calls.append(1))
    plain_loss(learner, torch.rand(1, 3, 5, 6)).backward()
    assert len(calls) == 3
    assert int(learner.calibrator.in_norm.num_batches_tracked) == 3
