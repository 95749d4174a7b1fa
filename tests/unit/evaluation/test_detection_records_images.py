"""What is found and what is there in one image; files of them; what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.evaluation.detection_records import (
    DarkFaceRecords,
    ImageDetections,
    images_from_arrays,
    images_to_arrays,
    load_detections,
)
from tests.plain_matching import iou

LEFT, RIGHT = [0.0, 0, 10, 10], [20.0, 0, 30, 10]


def _image(found: list | None = None, truth: list | None = None, **more: object) -> ImageDetections:
    return ImageDetections(
        'night/1',
        np.array(found or [], float).reshape(-1, 5),
        np.array(truth or [], float).reshape(-1, 4),
        **{name: np.array(value) for name, value in more.items()},
    )


def _three_classes() -> ImageDetections:
    return _image(
        [[*LEFT, 0.9], [*RIGHT, 0.8], [*LEFT, 0.7]],
        [LEFT, RIGHT, RIGHT, LEFT],
        ignore=[False, True, False, True],
        labels=[2, 0, 2],
        true_labels=[0, 2, 2, 0],
    )


def _assert_same(one: ImageDetections, other: ImageDetections) -> None:
    assert one.img_id == other.img_id
    for name in ('predictions', 'boxes', 'flags'):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).shape == getattr(other, name).shape
    for some, others in zip(one.classes, other.classes, strict=True):
        np.testing.assert_array_equal(some, others)


def test_without_labels_and_flags_all_are_of_one_class() -> None:
    image = _image([[*LEFT, 0.5]], [LEFT, RIGHT])
    assert image.flags.tolist() == [False, False]
    assert [part.tolist() for part in image.classes] == [[0], [0, 0]]
    assert len(image.of_class(0).predictions) == 1
    assert len(image.of_class(1).boxes) == 0
    image.check()
    _image().check()


def test_one_class_alone() -> None:
    third = _three_classes().of_class(2)
    assert third.img_id == 'night/1'
    assert third.predictions.tolist() == [[*LEFT, 0.9], [*LEFT, 0.7]]
    assert third.boxes.tolist() == [RIGHT, RIGHT]
    assert third.flags.tolist() == [True, False]
    first = _three_classes().of_class(0)
    assert first.predictions.tolist() == [[*RIGHT, 0.8]]
    assert first.boxes.tolist() == [LEFT, LEFT]
    assert first.flags.tolist() == [False, True]
    second = _three_classes().of_class(1)
    assert (second.predictions.shape, second.boxes.shape) == ((0, 5), (0, 4))


def test_ignored_boxes_take_their_predictions_along() -> None:
    """On the ignored box, on the other one, between them, and on neither."""
    found = [[*RIGHT, 0.9], [*LEFT, 0.8], [12, 0, 18, 10, 0.7], [50, 50, 60, 60, 0.6]]
    clear = _image(found, [LEFT, RIGHT], ignore=[False, True]).without_ignored()
    assert clear.predictions.tolist() == found[1:]
    assert clear.boxes.tolist() == [LEFT]
    assert clear.flags.tolist() == [False]
    assert clear.img_id == 'night/1'


@pytest.mark.parametrize(('width', 'left'), [(5, 0), (4.9, 1), (20, 0), (20.5, 1)])
def test_half_of_the_union_is_enough(width: float, left: int) -> None:
    clear = _image([[0, 0, width, 10, 0.9]], [LEFT], ignore=[True]).without_ignored()
    assert len(clear.predictions) == left
    assert len(clear.boxes) == 0


def test_nothing_to_ignore_and_nothing_found() -> None:
    plain = _image([[*LEFT, 0.9]], [LEFT])
    assert plain.without_ignored() is plain
    _assert_same(_image(truth=[LEFT], ignore=[True]).without_ignored(), _image())


def test_ignoring_against_a_plain_loop(rng: np.random.Generator) -> None:
    removed = 0
    for _ in range(20):
        corner = rng.integers(0, 20, (6, 2))
        truth = np.concatenate([corner, corner + rng.integers(5, 15, (6, 2))], axis=1)
        near = truth[rng.integers(0, 6, 12)] + rng.normal(0, 1.5, (12, 4))
        found = np.concatenate([near, rng.uniform(size=(12, 1))], axis=1)
        ignore = rng.uniform(size=6) < 0.5
        kept = []
        for row in found.tolist():
            overlaps = [iou(tuple(row[:4]), tuple(box)) for box in truth.tolist()]
            best = overlaps.index(max(overlaps))
            if not (ignore[best] and overlaps[best] >= 0.5):
                kept.append(row)
        clear = _image(found.tolist(), truth.tolist(), ignore=ignore).without_ignored()
        assert clear.predictions.tolist() == kept
        assert clear.boxes.tolist() == truth[~ignore].tolist()
        removed += 12 - len(kept)
    assert 20 < removed < 200


def test_flags_may_be_numbers() -> None:
    """As hosts write them; ``~1`` is -2, which would choose rows from the end."""
    found = [[*LEFT, 0.9], [*RIGHT, 0.8]]
    image = _image(found, [LEFT, RIGHT], ignore=[0, 1])
    image.check()
    assert image.flags.dtype == bool
    as_bits = replace(image, ignore=np.array([False, True]))
    _assert_same(image.without_ignored(), as_bits.without_ignored())
    _assert_same(image.of_class(0), as_bits)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(predictions=np.zeros((2, 4))), r'predictions must .* \(n, 5\), got \(2, 4'),
        (dict(predictions=np.zeros(5)), r'predictions must .* \(n, 5\), got \(5,\)'),
        (dict(boxes=np.zeros((2, 5))), r'boxes must have the shape \(n, 4\), got \(2, 5'),
        (dict(boxes=np.zeros((1, 4, 1))), r'boxes must .* \(n, 4\), got \(1, 4, 1\)'),
        (dict(predictions=np.full((1, 5), np.nan)), 'predictions must be finite, got NaN'),
        (dict(boxes=np.full((4, 4), -np.inf)), 'boxes must be finite, got NaN or inf'),
        (dict(ignore=np.zeros(3, bool)), r'ignore must have the shape \(4,\), got \(3,'),
        (dict(ignore=np.zeros((4, 1), bool)), r'ignore must .* \(4,\), got \(4, 1\)'),
        (dict(labels=np.zeros(4, int)), r'labels must .* \(3,\), got \(4,\)'),
        (dict(true_labels=np.zeros(3, int)), r'true_labels must .* \(4,\), got \(3,\)'),
        (dict(labels=np.zeros(3)), 'labels must hold whole numbers, got float64'),
        (dict(true_labels=np.zeros(4, str)), 'true_labels must hold whole numbers, got'),
    ],
)
def test_bad_input_is_named(wrong: dict[str, np.ndarray], message: str) -> None:
    image = replace(_three_classes(), **wrong)
    with pytest.raises(DataError, match=f'^image night/1: {message}'):
        image.check()
    with pytest.raises(DataError, match=f'^image night/1: {message}'):
        images_to_arrays([image])


def test_arrays_become_the_same_images_again() -> None:
    images = [
        replace(_image(truth=[RIGHT, LEFT], ignore=[True, False]), img_id='a b'),
        _three_classes(),
        replace(_image(), img_id='nächtlich/leer'),
        replace(_image([[*LEFT, 0.25]]), img_id='4'),
    ]
    ids = np.array([image.img_id for image in images])
    arrays = images_to_arrays(images, ('face', 'Hand'))
    again, classes = images_from_arrays(arrays | dict(ids=ids))
    assert classes == ['face', 'Hand']
    for one, two in zip(images, again, strict=True):
        _assert_same(one, two)
        two.check()


def test_no_images_and_no_classes() -> None:
    assert images_from_arrays(images_to_arrays([]) | dict(ids=np.zeros(0, str))) == ([], [])


def _face(name: str) -> ImageDetections:
    return replace(_three_classes().of_class(2), img_id=name)


def _save(path: Path, *images: ImageDetections) -> None:
    DarkFaceRecords(images, coco=False).save(path)


def test_an_interruption_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'found.npz'
    _save(path, _face('1'))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, 'write_array', stop)
    with pytest.raises(KeyboardInterrupt):
        _save(path)
    assert [file.name for file in tmp_path.iterdir()] == ['found.npz']
    assert len(load_detections(path)) == 1


def _columns() -> dict[str, np.ndarray]:
    images = [_three_classes(), replace(_three_classes(), img_id='2')]
    ids = np.array([image.img_id for image in images])
    return images_to_arrays(images) | dict(ids=ids)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('ids', np.array(['1']), 'expected 1 counts, got 2 and 2'),
        ('ids', np.array(['1', '2', '3']), 'expected 3 counts, got 2 and 2'),
        ('found', np.array([3]), 'expected 2 counts, got 1 and 2'),
        ('there', np.array([4, 4, 0]), 'expected 2 counts, got 2 and 3'),
        ('found', np.array([3, 2]), 'expected 5 rows, got 6'),
        ('there', np.array([4, 5]), 'expected 9 rows, got 8'),
        ('found', np.array([-1, 7]), 'expected 6 rows, got 6'),
        ('found', np.array([2.5, 3.5]), 'slice indices must be integers'),
        ('predictions', np.zeros((6, 4)), r'predictions must have the shape \(n, 5\)'),
        ('boxes', np.full((8, 4), np.nan), 'image night/1: boxes must be finite'),
        ('ignore', np.zeros(7, bool), 'expected 8 rows, got 7'),
        ('labels', np.zeros(8, int), 'expected 6 rows, got 8'),
        ('true_labels', np.zeros(8), 'true_labels must hold whole numbers'),
        ('predictions', np.array(['x'] * 30).reshape(6, 5), 'is not a file of det'),
        ('classes', None, 'classes is not a file in the archive'),
    ],
)
def test_columns_that_do_not_fit(
    tmp_path: Path, name: str, value: np.ndarray | None, message: str
) -> None:
    """Rows of one image must never be taken for those of another."""
    path = tmp_path / 'found.npz'
    columns = _columns()
    del columns[name]
    np.savez(path, **columns, **({} if value is None else {name: value}))
    with pytest.raises(DataError, match=r'found.npz: is not a file of det.*') as caught:
        load_detections(path)
    caught.match(message)


@pytest.mark.parametrize('content', [b'', b'nothing', None])
def test_a_file_of_something_else(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / 'found.npz'
    if content is None:
        np.savez(path, other=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r'found.npz: is not a file of detections'):
        load_detections(path)
    with pytest.raises(DataError, match=r'none.npz: is not a file of detections'):
        load_detections(tmp_path / 'none.npz')


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'found.npz'
    columns = _columns()
    np.savez(path, **columns | dict(ids=np.array([dict(), dict()], dtype=object)))
    with pytest.raises(DataError, match=r'detections \(Object arrays cannot be loaded'):
        load_detections(path)
