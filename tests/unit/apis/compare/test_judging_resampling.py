"""What the bootstrap draws, from the command line's words."""

import pytest

from sci_plugins.apis.compare.judging import Resampling
from sci_plugins.errors import ConfigError

IDS = ['a/GOPR0351_frame_000001', 'a/GOPR0351_frame_000002', 'b/GOPR0356_frame_000001']


def test_images() -> None:
    found = Resampling('images')
    assert found == Resampling()
    assert found.groups(IDS) is None
    assert found.units == 'images'


@pytest.mark.parametrize(
    ('pattern', 'groups'),
    [
        (r'GOPR\d+', ['GOPR0351', 'GOPR0351', 'GOPR0356']),
        (r'(GOPR\d+)_frame', ['GOPR0351', 'GOPR0351', 'GOPR0356']),
        (r'^(\w)/.*(\d)$', ['a/1', 'a/2', 'b/1']),
        (r'GOPR(0351)?', ['0351', '0351', 'GOPR']),
    ],
)
def test_clips(pattern: str, groups: list[str]) -> None:
    found = Resampling(f'clips:{pattern}')
    assert found.groups(IDS) == groups
    assert found.units == 'clips'
    assert found.text == f'clips:{pattern}'


def test_a_pattern_that_does_not_match_names_the_image() -> None:
    with pytest.raises(ConfigError, match='does not match b/GOPR0356_frame_000001'):
        Resampling('clips:GOPR0351').groups(IDS)


def test_blocks() -> None:
    found = Resampling('blocks:2')
    assert found.groups([*IDS, 'x', 'y']) == ['0', '0', '1', '1', '2']
    assert found.units == 'blocks of 2'


@pytest.mark.parametrize(
    'text', ['', 'image', 'clips', 'clips:', 'blocks', 'blocks:0', 'blocks:-1', 'blocks:x']
)
def test_other_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be 'images', 'clips:REGEX' or 'blocks:N'"):
        Resampling(text)


def test_no_pattern() -> None:
    with pytest.raises(ConfigError, match='not a regular expression'):
        Resampling('clips:(')
