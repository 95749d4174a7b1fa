"""Means, text and JSON of a table of quality."""

import json
import math

import pytest

from sci_plugins.apis.evaluate import QualityTable


@pytest.fixture()
def table() -> QualityTable:
    scores = {
        'none': {'PSNR': [8.0, 6.0], 'EME': [1.0, 2.0]},
        'sci/official/medium': {'PSNR': [math.inf, 15.0], 'EME': [3.0, 4.0]},
        'reference': {'EME': [5.0, 6.0]},
    }
    return QualityTable(dict(low='night'), ['a.png', 'b.png'], scores)


def test_means(table: QualityTable) -> None:
    assert table.metrics == ['PSNR', 'EME']
    assert table.mean('none', 'PSNR') == 7
    assert table.mean('sci/official/medium', 'PSNR') == math.inf
    assert math.isnan(table.mean('reference', 'PSNR'))


def test_text(table: QualityTable) -> None:
    assert table.to_text().split('\n') == [
        'variant              PSNR  EME',
        'none                    7  1.5',
        'sci/official/medium   inf  3.5',
        'reference               –  5.5',
        'means over 2 images',
    ]


def test_json(table: QualityTable) -> None:
    content = json.loads(table.to_json())
    assert content['about'] == dict(low='night')
    assert content['images'] == ['a.png', 'b.png']
    none, sci, reference = content['variants']
    assert none['mean'] == dict(PSNR=7.0, EME=1.5)
    assert sci['mean'] == dict(PSNR=None, EME=3.5)  # JSON holds no infinity
    assert sci['images']['PSNR'] == [None, 15.0]
    assert reference['mean'] == dict(EME=5.5)
    assert 'Infinity' not in table.to_json()
