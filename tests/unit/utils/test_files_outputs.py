"""No tool writes over a file that is not ours, and none over its input."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.models.enhancers.export import save_enhancer
from sci_plugins.utils.files import check_outputs, is_ours, write_arrays, write_json
from sci_plugins.utils.images import write_image, write_sheet


def test_what_we_write_is_ours(tmp_path: Path) -> None:
    write_json(tmp_path / 'a.json', dict(numbers=list(range(50_000))))
    write_arrays(tmp_path / 'a.npz', dict(x=np.random.default_rng(0).random(50_000)))
    write_sheet(tmp_path / 'a.jpg', Image.new('RGB', (300, 200)))
    save_enhancer(SCIEnhancer(), tmp_path / 'a.pth')
    (tmp_path / 'empty').touch()
    for path in tmp_path.iterdir():
        assert is_ours(path), path
        check_outputs(path)
    assert json.loads((tmp_path / 'a.json').read_text())['numbers'][-1] == 49_999
    with np.load(tmp_path / 'a.npz') as content:
        assert content['x'].shape == (50_000,)


def test_files_of_the_last_version_are_ours(tmp_path: Path) -> None:
    about = dict(about=dict(versions=dict(sci_plugins='0.1.0')), results=[])
    (tmp_path / 'comparison.json').write_text(json.dumps(about, indent=2))
    (tmp_path / 'comparison.md').write_text('# Does it help?\n\n- versions: sci_plugins 0.1.0\n')
    for path in tmp_path.iterdir():
        assert is_ours(path)


@pytest.mark.parametrize('name', ['photo.jpg', 'notes.txt', 'table.json', 'weights.pth'])
def test_a_users_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == 'photo.jpg':
        write_image(path, np.zeros((4, 4, 3), np.uint8))
    else:
        path.write_bytes(b'{"precious": 1}')
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=rf'{name} exists and was not written by this package'):
        check_outputs(path)
    check_outputs(path, overwrite=True)
    assert path.read_bytes() == before


def test_an_input_is_never_an_output(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    write_json(path, {})
    (tmp_path / 'link.json').symlink_to(path)
    for output in (path, tmp_path / 'x' / '..' / 'a.json', tmp_path / 'link.json'):
        with pytest.raises(ConfigError, match='it is the input'):
            check_outputs(output, inputs=[path], overwrite=True)


def test_folders_and_names_that_come_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='it is a folder, expected the name of a file'):
        check_outputs(tmp_path)
    with pytest.raises(ConfigError, match='two outputs have this name'):
        check_outputs(tmp_path / 'a', tmp_path / 'b', tmp_path / '.' / 'a')
    check_outputs(tmp_path / 'new' / 'a', None)


def test_the_mark_does_not_change_a_picture(tmp_path: Path) -> None:
    sheet = Image.effect_noise((60, 40), 50).convert('RGB')
    write_sheet(tmp_path / 'a.jpg', sheet)
    plain = io.BytesIO()
    sheet.save(plain, 'JPEG', quality=90)
    with Image.open(tmp_path / 'a.jpg') as marked, Image.open(plain) as bare:
        assert np.array_equal(np.asarray(marked), np.asarray(bare))
