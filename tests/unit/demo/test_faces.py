"""Face scenes: repeatable, on the ground, labelled where the faces are, split apart."""

import copy
import sys

import numpy as np
import pytest

from sci_plugins.demo import faces
from sci_plugins.demo.faces import DISTRACTORS, Figure, draw_face_scene, load_material
from sci_plugins.demo.render import Scene
from sci_plugins.errors import MissingDependencyError

pytest.importorskip('skimage')


@pytest.fixture(scope='module')
def scenes() -> list:
    """The first are those of `placed`, painted."""
    material = load_material('test')
    return [draw_face_scene(np.random.default_rng(i), material) for i in range(12)]


def _placed(seed: int) -> tuple[Scene, list[Figure]]:
    """A background and its figures, before they are painted."""
    generator = np.random.default_rng(seed)
    scene, sides, depth = faces._build_place(generator, load_material('test'))
    return scene, faces._place_figures(generator, scene, sides, depth)


@pytest.fixture(scope='module')
def placed() -> list[tuple[Scene, list[Figure]]]:
    return [_placed(seed) for seed in range(12)]


def test_the_same_seed_draws_the_same_scene() -> None:
    material = load_material('test')
    first, second, other = (
        draw_face_scene(np.random.default_rng(seed), material) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert not np.array_equal(first[0], other[0])


def test_boxes_are_inside_and_of_the_promised_sizes(scenes: list) -> None:
    heights = []
    for radiance, boxes in scenes:
        assert radiance.shape == (240, 320, 3)
        assert np.isfinite(radiance).all()
        assert radiance.min() >= 0
        assert 0.05 < np.minimum(radiance, 1).mean() < 0.4  # exposed as by day
        for x1, y1, x2, y2 in boxes:
            assert 0 <= x1 < x2 <= 320
            assert 0 <= y1 < y2 <= 240
            heights.append(y2 - y1)
    # A box is rounded outwards or inwards by at most a pixel.
    assert 7 <= min(heights) <= 10
    assert 30 <= max(heights) <= 41
    assert len(heights) > 30


def test_everyone_stands_on_the_ground_and_who_is_far_is_small(placed: list) -> None:
    for scene, figures in placed:
        camera = scene.canvas.camera
        for figure in figures:
            foot = camera.unproject(
                np.float32(2 * figure.x), np.float32(2 * figure.ground), np.float32(1 / figure.z)
            )
            assert abs(foot[1]) < 0.01
            metres = figure.size * 2 * figure.z / camera.focal
            low, high = (0.17, 0.25) if figure.is_person else (0.2, 0.3)
            assert low < metres < high
            if figure.is_person:
                tall = (figure.ground - figure.y) * 2 * figure.z / camera.focal
                assert 0.9 < tall < 1.85


def test_nobody_stands_in_the_sky_or_within_a_wall(placed: list) -> None:
    """What is behind the feet is no sky, and it is not nearer than the feet."""
    checked = 0
    for scene, figures in placed:
        for figure in figures:
            row, column = round(2 * figure.ground) - 2, round(2 * figure.x)
            if row >= scene.canvas.label.shape[0]:
                continue  # the feet are below the picture
            checked += 1
            assert scene.canvas.nearness[row, column] > 0
    assert checked > 20


def test_there_are_streets_and_rooms(placed: list) -> None:
    # Only rooms have no sky: everything in them has a distance.
    closed = [bool((scene.canvas.nearness > 0).all()) for scene, _ in placed]
    assert 1 <= sum(closed) < len(closed)


def test_faces_are_never_hidden(placed: list) -> None:
    """Neither by a nearer figure nor by what stands in the street or room."""
    for scene, figures in placed:
        for figure in figures:
            x1, y1, x2, y2 = figure.box
            assert scene.canvas.nearness[2 * y1 : 2 * y2, 2 * x1 : 2 * x2].max() <= 1 / figure.z
            for other in figures:
                if other.z < figure.z:
                    assert not faces._overlap(figure.box, other.outline)


@pytest.mark.parametrize('seed', range(3))
def test_faces_fill_their_boxes_and_nothing_else(placed: list, seed: int) -> None:
    """Pictures that differ in the face crops alone differ in the boxes alone, in each of them."""
    scene, figures = placed[seed]
    drawn = []
    for level in (0.0, 1.0):
        patches = np.full((1, 25, 25), level, np.float32)
        material = faces.Material([], patches, load_material('test').others)
        drawn.append(faces._paint_figures(np.random.default_rng(0), scene, figures, material))
    changed = np.abs(drawn[1] - drawn[0]).max(axis=2) > 0.05
    boxes = np.zeros_like(changed)
    for x1, y1, x2, y2 in (figure.box for figure in figures if figure.kind == 'face'):
        slack = 1 + round(0.05 * (y2 - y1))
        boxes[max(0, y1 - slack) : y2 + slack, max(0, x1 - slack) : x2 + slack] = True
        assert changed[y1:y2, x1:x2].mean() > 0.6
    assert not (changed & ~boxes).any()


def test_what_stands_nearer_hides_a_figure(placed: list) -> None:
    scene, figures = placed[0]
    walled = Scene(copy.copy(scene.canvas), *scene[1:])
    walled.canvas.nearness = np.full_like(scene.canvas.nearness, 1.0)  # a metre away
    material = load_material('test')
    picture = faces._paint_figures(np.random.default_rng(0), walled, figures, material)
    bare = faces._paint_figures(np.random.default_rng(0), walled, [], material)
    np.testing.assert_array_equal(picture, bare)


def test_distractors_have_no_box(placed: list, scenes: list) -> None:
    kinds: set[str] = set()
    for (_, figures), (_, boxes) in zip(placed, scenes, strict=False):
        assert boxes == [figure.box for figure in figures if figure.kind == 'face']
        kinds |= {figure.kind for figure in figures}
    assert kinds == {'face', *DISTRACTORS}


@pytest.mark.parametrize('kind', ['face', *DISTRACTORS])
def test_every_figure_is_seen(placed: list, kind: str) -> None:
    scene, _ = placed[0]
    figure = Figure(160.0, 120.0, 30, 220.0, 1.2, kind)
    material = load_material('test')
    picture, bare = (
        faces._paint_figures(np.random.default_rng(0), scene, figures, material)
        for figures in ([figure], [])
    )
    x1, y1, x2, y2 = figure.box
    changed = np.abs(picture - bare).max(axis=2) > 0.01
    assert changed[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5].mean() > 0.9


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
