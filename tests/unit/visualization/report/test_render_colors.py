"""Colours of the report: legible in the light, in the dark and on paper."""

import re
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.visualization.report import render


def _colors(css: str) -> dict[str, str]:
    return dict(re.findall(r'--([\w-]+): (#\w+);', css))


def _luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else ''.join(d * 2 for d in color[1:])
    channels = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(first: str, second: str) -> float:
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('scheme', ['light', 'dark', 'print'])
def test_contrast(scheme: str) -> None:
    """WCAG 2: 4.5 for text, 3 for lines of a drawing."""
    css = (Path(render.__file__).parent / 'templates' / 'style.css').read_text()
    blocks = re.findall(r':root \{(.*?)\}', css, re.DOTALL)
    colors = _colors(blocks[('light', 'dark', 'print').index(scheme)])
    for ink in ('ink', 'quiet', 'helps', 'hurts', 'same', 'link'):
        assert _contrast(colors[ink], colors['paper']) >= 4.5, ink
    for ink in ('ink', 'quiet', 'helps', 'hurts'):
        assert _contrast(colors[ink], colors['wash']) >= 4.5, ink
    for ink in ('helps', 'hurts', 'same', 'warning'):
        assert _contrast(colors[ink], colors[f'{ink}-wash']) >= 4.5, ink
    for number in range(1, 7):
        assert _contrast(colors[f'c{number}'], colors['paper']) >= 3, number
