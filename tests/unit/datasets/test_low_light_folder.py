import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sci_plugins.datasets.low_light_folder import stack_images
from sci_plugins.datasets.samplers import Draw
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS


def build(**options):
    return DATASETS.build(dict(type='sci_plugins.LowLightFolder', **options))


@pytest.fixture
def folder(tmp_path, rng):
    """Two PNG (one below a subfolder, one with a suffix in capitals) and a text."""
    (tmp_path / 'night').mkdir()
    for name, shape in (('b.PNG', (20, 30, 3)), ('night/a.png', (24, 16, 3))):
        pixels = rng.integers(0, 60, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image')
    return tmp_path


def read(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255


def test_finds_images_recursively_in_order(folder):
    data = build(data_root=str(folder))
    names = [path.relative_to(folder).as_posix() for path in data.files]
    assert names == ['b.PNG', 'night/a.png']
    for index, name in enumerate(names):
        item = data[index]['inputs']
        assert item.dtype == torch.float32
        torch.testing.assert_close(item, read(folder / name))


def test_several_folders(folder):
    data = build(data_root=[folder / 'night', folder])
    assert [path.name for path in data.files] == ['a.png', 'b.PNG', 'a.png']


def test_max_size_shrinks_and_keeps_the_proportions(folder):
    data = build(data_root=folder, max_size=15)
    assert data[0]['inputs'].shape == (3, 10, 15)
    torch.testing.assert_close(
        data[0]['inputs'].mean(), read(folder / 'b.PNG').mean(), atol=0.005, rtol=0
    )
    assert build(data_root=folder, max_size=30)[0]['inputs'].shape == (3, 20, 30)


def test_crops_are_parts_of_the_image_and_vary(folder):
    data = build(data_root=folder, crop_size=8)
    whole = read(folder / 'b.PNG')
    windows = whole.unfold(1, 8, 1).unfold(2, 8, 1)
    crops = [data[0]['inputs'] for _ in range(5)]
    for crop in crops:
        same = (windows == crop[:, None, None]).all(dim=-1).all(dim=-1).all(dim=0)
        assert same.sum() == 1
    assert any(not torch.equal(crops[0], crop) for crop in crops[1:])


def test_a_crop_may_be_as_large_as_the_image(folder):
    crop = build(data_root=folder / 'night', crop_size=16)[0]['inputs']
    assert crop.shape == (3, 16, 16)


def test_flip_mirrors_about_half(folder):
    data = build(data_root=folder, flip=True)
    whole = read(folder / 'b.PNG')
    seen = [data[0]['inputs'] for _ in range(40)]
    mirrored = sum(torch.equal(image, whole.flip(-1)) for image in seen)
    straight = sum(torch.equal(image, whole) for image in seen)
    assert mirrored + straight == 40
    assert 8 <= mirrored <= 32


def test_cache_reads_a_file_once(folder):
    cached, fresh = build(data_root=folder, cache=True), build(data_root=folder)
    first = cached[0]['inputs']
    (folder / 'b.PNG').unlink()
    assert torch.equal(cached[0]['inputs'], first)
    with pytest.raises(FileNotFoundError):
        fresh[0]


def test_an_item_does_not_share_memory_with_the_cache(folder):
    data = build(data_root=folder, cache=True)
    first = data[0]['inputs']
    kept = first.clone()
    first.zero_()
    assert torch.equal(data[0]['inputs'], kept)


def test_batches_and_pickles(folder):
    data = pickle.loads(pickle.dumps(build(data_root=folder, crop_size=8)))
    batch = next(iter(DataLoader(data, batch_size=2, collate_fn=stack_images)))
    assert batch['inputs'].shape == (2, 3, 8, 8)
    assert [sample.img_path for sample in batch['data_samples']] == [
        str(path) for path in data.files
    ]


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r'image folder not found: .*nowhere'):
        build(data_root=tmp_path / 'nowhere')


def test_folder_without_images(tmp_path):
    with pytest.raises(DataError, match=r'no image \(.*\.png.*\) below') as caught:
        build(data_root=tmp_path)
    assert '\n' not in str(caught.value)


def test_a_damaged_image_is_named(folder):
    shutil.copy(folder / 'notes.txt', folder / 'c.jpg')
    with pytest.raises(DataError, match=r'c\.jpg') as caught:
        build(data_root=folder)[1]
    assert '\n' not in str(caught.value)


def test_an_image_smaller_than_the_crop_is_named(folder):
    message = r'a\.png is 16x24, smaller than crop_size=17'
    with pytest.raises(DataError, match=message):
        build(data_root=folder, crop_size=17)[1]


@pytest.mark.parametrize('options', [dict(crop_size=4), dict(max_size=9.5)])
def test_refuses_wrong_sizes(folder, options):
    with pytest.raises(ConfigError, match=f'{next(iter(options))} must be'):
        build(data_root=folder, **options)


@pytest.mark.parametrize(('shape', 'size'), [((4, 9, 3), '9x4'), ((30, 300, 3), '20x2')])
def test_an_image_below_the_neighbourhood_is_named_at_once(folder, shape, size):
    Image.fromarray(np.zeros(shape, np.uint8)).save(folder / 'strip.png')
    with pytest.raises(DataError, match=rf'strip\.png is {size}, smaller than 5 pixels'):
        build(data_root=folder, max_size=20)


def test_five_pixels_are_enough(folder):
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / 'tiny.png')
    assert len(build(data_root=folder)) == 3


def test_a_single_file(folder):
    data = build(data_root=folder / 'b.PNG')
    assert data[0]['data_samples'].img_path == str(folder / 'b.PNG')


def test_a_seeded_draw_repeats_itself_whatever_came_before(folder):
    data = build(data_root=folder, crop_size=8, flip=True)
    first = data[Draw(0, seed=5)]['inputs']
    torch.rand(7)
    data[0]
    assert torch.equal(data[Draw(0, seed=5)]['inputs'], first)
    others = [data[Draw(0, seed=seed)]['inputs'] for seed in range(6, 12)]
    assert not all(torch.equal(first, other) for other in others)


def test_a_seeded_draw_leaves_the_global_generator_alone(folder):
    data = build(data_root=folder, crop_size=8, flip=True)
    before = torch.get_rng_state()
    data[Draw(0, seed=5)]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_next_image_stands_in_for_an_unreadable_one(folder):
    (folder / 'a.jpg').write_text('no image')
    data = build(data_root=folder, skip_unreadable=True)
    assert [path.name for path in data.files] == ['a.jpg', 'b.PNG', 'a.png']
    item, next_item = data[0], data[1]
    assert torch.equal(item['inputs'], next_item['inputs'])
    assert item['data_samples'].img_path == str(folder / 'b.PNG')
    ((path, cause),) = item['data_samples'].skipped
    assert path == str(folder / 'a.jpg')
    assert 'is not a readable PNG' in cause
    assert next_item['data_samples'].skipped == ()


def test_the_first_image_follows_the_last(folder):
    data = build(data_root=folder, skip_unreadable=True)
    (folder / 'night' / 'a.png').unlink()
    assert data[1]['data_samples'].img_path == str(folder / 'b.PNG')


def test_only_unreadable_images(folder):
    data = build(data_root=folder, skip_unreadable=True)
    for path in data.files:
        path.write_bytes(b'')
    with pytest.raises(DataError, match=r'none of 2 images can be read; first: .*b\.PNG'):
        data[0]
