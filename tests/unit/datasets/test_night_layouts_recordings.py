"""Which recording a frame is of, by its name in any set."""

import pytest

from sci_plugins.datasets.night_layouts import frame_name, recording_of


@pytest.mark.parametrize(
    ('name', 'frame', 'recording'),
    [
        ('GOPR0356_frame_000324_rgb_anon.png', 'GOPR0356_frame_000324', 'GOPR0356'),
        ('a/b/GP010376_frame_000164_rgb_anon.png', 'GP010376_frame_000164', 'GP010376'),
        ('0006R0_f02670.jpg', '0006R0_f02670', '0006R0'),
        ('0016E5_08370.jpg', '0016E5_08370', '0016E5'),
        ('Seq05VD_f00000.jpg', 'Seq05VD_f00000', 'Seq05VD'),
        ('Chicago_0001.png', 'Chicago_0001', None),
        ('7d06fefd-f7be05a6.jpg', '7d06fefd-f7be05a6', None),
        ('0012_0034.png', '0012_0034', None),
    ],
)
def test_names(name: str, frame: str, recording: str | None) -> None:
    assert frame_name(name) == frame
    assert recording_of(name) == recording


def test_a_photograph_by_day_is_not_the_frame() -> None:
    name = 'GOPR0356_frame_000324_rgb_ref_anon.png'
    assert frame_name(name) != 'GOPR0356_frame_000324'
    assert recording_of(name) == 'GOPR0356'
