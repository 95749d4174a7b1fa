import copy

import pytest
import torch

from sci_plugins.errors import CheckpointError
from sci_plugins.models.enhancers.sci import SCIEnhancer
from sci_plugins.models.enhancers.weights import load_learner_weights
from sci_plugins.models.learners import SelfCalibrator


def authors_state(estimator, calibrator):
    """A whole file as the authors write it: shared tensors under several names."""
    state = {}

    def add(prefix, module):
        for key, value in module.state_dict().items():
            state[f'{prefix}.{key}'] = value.clone()

    add('enhance.in_conv.0', estimator.in_conv)
    for block in ('conv', *(f'blocks.{k}' for k in range(estimator.layers))):
        add(f'enhance.{block}.0', estimator.block_conv)
        add(f'enhance.{block}.1', estimator.block_norm)
    add('enhance.out_conv.0', estimator.out_conv)
    add('calibrate.in_conv.0', calibrator.in_conv)
    add('calibrate.in_conv.1', calibrator.in_norm)
    for block in ('convs', *(f'blocks.{k}' for k in range(calibrator.layers))):
        add(f'calibrate.{block}.0', calibrator.block_conv1)
        add(f'calibrate.{block}.1', calibrator.block_norm1)
        add(f'calibrate.{block}.3', calibrator.block_conv2)
        add(f'calibrate.{block}.4', calibrator.block_norm2)
    add('calibrate.out_conv.0', calibrator.out_conv)
    return state


def same(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.fixture
def source():
    return SCIEnhancer(), SelfCalibrator()


@pytest.fixture
def target():
    return SCIEnhancer(), SelfCalibrator()


def save(state, path):
    torch.save(state, path)
    return str(path)


def test_whole_authors_file(source, target, tmp_path):
    state = authors_state(*source)
    assert len(state) == 83
    load_learner_weights(*target, save(state, tmp_path / 'a.pt'))
    assert same(source[0], target[0])
    assert same(source[1], target[1])


@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_own_checkpoint(source, target, tmp_path, wrapper):
    state = {
        f'{wrapper}{part}.{key}': value
        for part, module in zip(('estimator', 'calibrator'), source, strict=True)
        for key, value in module.state_dict().items()
    }
    load_learner_weights(*target, save(dict(state_dict=state), tmp_path / 'a.pth'))
    assert same(source[0], target[0])
    assert same(source[1], target[1])


def test_estimator_only_leaves_the_calibrator(source, target, tmp_path):
    before = SelfCalibrator()
    before.load_state_dict(target[1].state_dict())
    path = save(dict(state_dict=source[0].state_dict(), meta={}), tmp_path / 'a.pth')
    load_learner_weights(*target, path)
    assert same(source[0], target[0])
    assert same(before, target[1])


def test_without_a_calibrator(source, target, tmp_path):
    path = save(authors_state(*source), tmp_path / 'a.pt')
    load_learner_weights(target[0], None, path)
    assert same(source[0], target[0])


def test_other_number_of_blocks(source, tmp_path):
    path = save(authors_state(*source), tmp_path / 'a.pt')
    with pytest.raises(CheckpointError, match='has 3 blocks, the calibrator layers=2'):
        load_learner_weights(SCIEnhancer(), SelfCalibrator(layers=2), path)


def test_other_width(source, tmp_path):
    path = save(authors_state(*source), tmp_path / 'a.pt')
    with pytest.raises(
        CheckpointError,
        match=r'in_conv\.weight has shape \(16, 3, 3, 3\), the calibrator expects \(8,',
    ) as caught:
        load_learner_weights(SCIEnhancer(), SelfCalibrator(channels=8), path)
    assert '\n' not in str(caught.value)


def test_missing_entry(source, target, tmp_path):
    state = authors_state(*source)
    del state['calibrate.out_conv.0.bias']
    with pytest.raises(CheckpointError, match=r'missing out_conv\.bias, unexpected nothing'):
        load_learner_weights(*target, save(state, tmp_path / 'a.pt'))


def test_names_of_one_tensor_must_agree(source, target, tmp_path):
    state = authors_state(*source)
    state['calibrate.blocks.2.3.weight'] += 1
    with pytest.raises(CheckpointError, match=r'blocks\.2\.3\.weight differs'):
        load_learner_weights(*target, save(state, tmp_path / 'a.pt'))


@pytest.mark.parametrize('value', [float('nan'), 1 + 2j])
def test_a_calibrator_that_cannot_be_used_leaves_both_as_they_were(source, target, tmp_path, value):
    state = authors_state(*source)
    state['calibrate.in_conv.0.bias'] = torch.full((16,), value)
    before = [copy.deepcopy(module) for module in target]
    with pytest.raises(CheckpointError, match=r'in_conv\.0\.bias holds (NaN|torch\.complex64)'):
        load_learner_weights(*target, save(state, tmp_path / 'a.pt'))
    assert all(map(same, before, target))
