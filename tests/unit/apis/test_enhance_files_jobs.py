"""Which files are read and where results go."""

import os
from pathlib import Path

import pytest

from sci_plugins.apis.enhance_files import FileJob, plan_jobs
from sci_plugins.errors import ConfigError, DataError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def places(jobs: list[FileJob], out_dir: Path) -> list[str]:
    return [job.target.relative_to(out_dir).as_posix() for job in jobs]


def test_a_folder_keeps_its_structure(tmp_path: Path) -> None:
    photos, out = tmp_path / 'photos', tmp_path / 'out'
    touch(photos / 'b.JPG', photos / 'x' / 'a.png', photos / 'x' / 'y' / 'c.tiff')
    touch(photos / 'notes.txt', photos / '.hidden.png', photos / '.cache' / 'd.png')
    jobs = plan_jobs([photos], out)
    assert places(jobs, out) == ['b.JPG', 'x/a.png', 'x/y/c.tiff']
    assert jobs[1].source == photos / 'x' / 'a.png'
    assert jobs[0].illumination is None
    assert not out.exists()


def test_files_go_to_the_top(tmp_path: Path) -> None:
    touch(tmp_path / 'x' / 'a.png', tmp_path / 'y' / 'b.bmp')
    jobs = plan_jobs([tmp_path / 'x' / 'a.png', tmp_path / 'y' / 'b.bmp'], 'out')
    assert places(jobs, Path('out')) == ['a.png', 'b.bmp']


def test_png_format(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'a.b.jpg', tmp_path / 'in' / 'c.PNG')
    jobs = plan_jobs([tmp_path / 'in'], tmp_path / 'out', image_format='png')
    assert places(jobs, tmp_path / 'out') == ['a.b.png', 'c.png']


def test_illumination_files(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'x' / 'a.jpg')
    (job,) = plan_jobs([tmp_path / 'in'], tmp_path / 'out', illumination=True)
    folder = tmp_path / 'out' / 'x'
    assert job.outputs == (folder / 'a.jpg', folder / 'a_illumination.png')


def test_one_image_named_twice_is_one_job(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'a.png')
    roundabout = tmp_path / 'in' / '..' / 'in'
    jobs = plan_jobs([tmp_path / 'in', tmp_path / 'in' / 'a.png', roundabout], 'out')
    assert places(jobs, Path('out')) == ['a.png']


def test_results_below_the_input_are_not_read_again(tmp_path: Path) -> None:
    photos = tmp_path / 'photos'
    touch(photos / 'a.png', photos / 'out' / 'a.png', photos / 'out' / 'x' / 'b.png')
    jobs = plan_jobs([photos], photos / 'out')
    assert [job.source for job in jobs] == [photos / 'a.png']


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'a.png', tmp_path / 'elsewhere' / 'b.png')
    os.symlink(tmp_path / 'elsewhere', tmp_path / 'in' / 'link')
    os.symlink(tmp_path / 'in', tmp_path / 'in' / 'loop')
    jobs = plan_jobs([tmp_path / 'in'], tmp_path / 'out')
    assert places(jobs, tmp_path / 'out') == ['a.png', 'link/b.png']


def test_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'image or folder not found: .*nowhere'):
        plan_jobs([tmp_path / 'nowhere'], tmp_path / 'out')


def test_empty_folder(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'notes.txt')
    with pytest.raises(DataError, match=r'in: found no image; 1 file skipped: 1 \.txt$'):
        plan_jobs([tmp_path / 'in'], tmp_path / 'out')


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    touch(tmp_path / 'notes.txt')
    with pytest.raises(
        DataError, match=r'notes\.txt: expected an image with one of the suffixes \.bmp, .*\.webp$'
    ):
        plan_jobs([tmp_path / 'notes.txt'], tmp_path / 'out')
    touch(tmp_path / 'film.MP4')
    with pytest.raises(
        DataError, match=r'\.webp \(videos: sci-plugins video; their frames alone: ffmpeg'
    ):
        plan_jobs([tmp_path / 'film.MP4'], tmp_path / 'out')


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be 'same' or 'png', got 'webp'"):
        plan_jobs([tmp_path], tmp_path / 'out', image_format='webp')


def test_output_that_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'a.png', tmp_path / 'out')
    with pytest.raises(ConfigError, match=r'out is a file, not a folder'):
        plan_jobs([tmp_path / 'in'], tmp_path / 'out')


def test_input_that_is_the_output(tmp_path: Path) -> None:
    touch(tmp_path / 'a.jpg')
    with pytest.raises(ConfigError, match='is both input and output'):
        plan_jobs([tmp_path], tmp_path / 'x' / '..', image_format='png')


@pytest.mark.parametrize('illumination', [False, True])
def test_an_input_is_never_written_over(tmp_path: Path, illumination: bool) -> None:
    touch(tmp_path / 'a.jpg', tmp_path / 'a_illumination.png')
    inputs = [tmp_path / 'a_illumination.png'] if illumination else []
    with pytest.raises(ConfigError, match='would be written over the input'):
        plan_jobs([tmp_path / 'a.jpg', *inputs], tmp_path, illumination=illumination)


def test_input_behind_a_link_in_the_output_is_safe(tmp_path: Path) -> None:
    touch(tmp_path / 'in' / 'a.png', tmp_path / 'out' / 'other')
    os.symlink(tmp_path / 'in' / 'a.png', tmp_path / 'out' / 'a.png')
    with pytest.raises(ConfigError, match='would be written over the input'):
        plan_jobs([tmp_path / 'in'], tmp_path / 'out')


def test_two_names_that_would_collide_as_png(tmp_path: Path) -> None:
    touch(tmp_path / 'a.jpg', tmp_path / 'a.png')
    with pytest.raises(ConfigError, match=r'a\.jpg and .*a\.png would both be written'):
        plan_jobs([tmp_path], tmp_path / 'out', image_format='png')
    assert len(plan_jobs([tmp_path], tmp_path / 'out')) == 2


def test_two_folders_that_would_collide(tmp_path: Path) -> None:
    touch(tmp_path / 'train' / 'a.png', tmp_path / 'val' / 'a.png')
    with pytest.raises(ConfigError, match='would both be written to'):
        plan_jobs([tmp_path / 'train', tmp_path / 'val'], tmp_path / 'out')
