"""Face scenes: repeatable, labelled where the faces are, split without overlap."""

import sys

import numpy as np
import pytest

from sci_plugins.demo import faces
from sci_plugins.demo.faces import Head, draw_face_scene, load_material
from sci_plugins.errors import MissingDependencyError

pytest.importorskip('skimage')


def _scenes(count: int) -> list:
    material = load_material('test')
    return [draw_face_scene(np.random.default_rng(i), material) for i in range(count)]


def test_the_same_seed_draws_the_same_scene() -> None:
    material = load_material('test')
    first, second, other = (
        draw_face_scene(np.random.default_rng(seed), material) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert not np.array_equal(first[0], other[0])


def test_boxes_are_inside_and_of_the_promised_sizes() -> None:
    heights = []
    for image, boxes in _scenes(30):
        assert image.shape == (240, 320, 3)
        assert image.dtype == np.uint8
        for x1, y1, x2, y2 in boxes:
            assert 0 <= x1 < x2 <= 320
            assert 0 <= y1 < y2 <= 240
            heights.append(y2 - y1)
    # A box is rounded outwards or inwards by at most a pixel.
    assert 7 <= min(heights) <= 10
    assert 30 <= max(heights) <= 41
    assert len(heights) > 60


def test_faces_are_never_hidden_by_a_neighbour() -> None:
    for seed in range(20):
        heads = faces._place_heads(np.random.default_rng(seed))
        for index, head in enumerate(heads):
            for other in heads[index + 1 :]:
                assert not faces._overlap(head.box, other.box)


@pytest.mark.parametrize('size', [8, 23, 40])
def test_the_face_fills_its_box_and_nothing_else(size: int) -> None:
    """Two scenes that differ in the face alone differ in its box alone."""
    head = Head(100.3, 80.6, size, True)
    drawn = []
    for level in (0.0, 1.0):
        patches = np.full((1, 25, 25), level, np.float32)
        material = faces.Material([], patches, patches)
        canvas = np.full((240, 320, 3), 0.2, np.float32)
        faces._draw_person(canvas, head, np.random.default_rng(0), material)
        drawn.append(canvas)
    rows, columns = np.nonzero(np.abs(drawn[1] - drawn[0]).max(axis=2) > 0.05)
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_allclose(found, head.box, atol=1 + 0.05 * size)


def test_distractors_have_no_box() -> None:
    for seed in range(10):
        generator = np.random.default_rng(seed)
        faces._background(generator, load_material('test').photos)
        heads = faces._place_heads(generator)
        scene = draw_face_scene(np.random.default_rng(seed), load_material('test'))
        assert scene[1] == [head.box for head in heads if head.is_face]
        assert any(not head.is_face for head in heads)


def test_training_and_test_share_no_photograph_and_no_patch() -> None:
    assert not set(faces.PHOTOS['train']) & set(faces.PHOTOS['test'])
    train, test = load_material('train'), load_material('test')
    for name in ('faces', 'others'):
        patches = np.concatenate([getattr(train, name), getattr(test, name)])
        if name == 'faces':
            assert len(np.unique(patches.reshape(len(patches), -1), axis=0)) == 100
        for patch in getattr(train, name):
            if patch.std() > 0.01:  # some non-faces are plain black
                assert not any(np.array_equal(patch, other) for other in test.others)
                assert not any(np.array_equal(patch, other) for other in test.faces)


def test_missing_scikit_image_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'skimage', None)
    with pytest.raises(MissingDependencyError, match=r'sci_plugins\[demo\]'):
        load_material.__wrapped__('test')
