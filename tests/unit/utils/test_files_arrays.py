"""Whatever is wrong with a file of arrays is one error that names it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.utils.files import reading_arrays, write_arrays


def _write(path: Path) -> bytes:
    """The bytes of a good file, for a test to damage."""
    rng = np.random.default_rng(0)
    np.savez_compressed(path, numbers=rng.integers(0, 9, (20, 5)), more=np.zeros(3))
    return path.read_bytes()


def _read(path: Path) -> list[np.ndarray]:
    with reading_arrays(path, 'numbers') as content:
        return [content['numbers'], content['more']]


def test_a_good_file(tmp_path: Path) -> None:
    _write(tmp_path / 'x.npz')
    numbers, more = _read(tmp_path / 'x.npz')
    assert numbers.shape == (20, 5)
    assert more.tolist() == [0, 0, 0]
    assert len(_read(str(tmp_path / 'x.npz'))) == 2


def test_damaged_bytes_are_never_another_error(tmp_path: Path) -> None:
    """One byte at a time; what only changes a date is still a good file."""
    path = tmp_path / 'x.npz'
    good = _write(path)
    expected = _read(path)
    messages = []
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            found = _read(path)
        except DataError as error:
            messages.append(str(error))
        else:
            np.testing.assert_equal(found, expected)
    assert 0.5 * len(good) < len(messages) < len(good)
    assert all(f'{path}: is not a file of numbers (' in message for message in messages)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / 'x.npz'
    good = _write(path)
    for size in range(0, len(good), 7):
        path.write_bytes(good[:size])
        with pytest.raises(DataError, match=r'x.npz: is not a file of numbers'):
            _read(path)


def test_files_of_something_else(tmp_path: Path) -> None:
    np.save(tmp_path / 'one.npy', np.zeros(3))
    np.savez(tmp_path / 'other.npz', other=np.zeros(3))
    np.savez(tmp_path / 'code.npz', numbers=np.array([dict()], dtype=object))
    (tmp_path / 'text.npz').write_text('numbers')
    names = ['one.npy', 'other.npz', 'code.npz', 'text.npz', 'none.npz', '.']
    for name in names:
        with pytest.raises(DataError, match=f'{name}: is not a file of numbers'):
            _read(tmp_path / name)


def test_more_rows_than_any_memory_holds(tmp_path: Path) -> None:
    """The header of an array is believed before its rows are read."""
    rows = np.lib.format
    with (tmp_path / 'numbers.npy').open('wb') as file:
        header = dict(descr='<f8', fortran_order=False, shape=(10**15,))
        rows.write_array_header_1_0(file, header)
    archive = shutil.make_archive(str(tmp_path / 'x'), 'zip', tmp_path, 'numbers.npy')
    with pytest.raises(DataError, match=r'x.zip: is not a file of numbers \(Unable to'):
        _read(Path(archive))


def test_what_is_made_of_it_may_refuse_too(tmp_path: Path) -> None:
    _write(tmp_path / 'x.npz')
    with (
        pytest.raises(DataError, match=r'x.npz: is not a file of numbers \(one is odd\)'),
        reading_arrays(tmp_path / 'x.npz', 'numbers'),
    ):
        raise ConfigError('one is odd')
    with pytest.raises(ZeroDivisionError), reading_arrays(tmp_path / 'x.npz', 'numbers'):
        _ = 1 // 0


def test_what_is_written_reads_again(tmp_path: Path) -> None:
    path, numbers = tmp_path / 'new' / 'a.npz', np.arange(5.0)
    write_arrays(path, dict(numbers=numbers, names=np.array(['a', 'b'])))
    assert [item.name for item in path.parent.iterdir()] == ['a.npz']
    with reading_arrays(path, 'numbers') as content:
        assert set(content) == {'numbers', 'names'}
        assert np.array_equal(content['numbers'], numbers)
