"""What a comparison was made with, as a list."""

from sci_plugins.visualization.report.markdown import tell_about


def test_files_versions_and_weights() -> None:
    about = dict(
        annotation_version='2021',
        config='a.py',
        checkpoint='b.pth',
        checkpoint_sha256='4a5b',
        versions=dict(torch='2.14', mmdet='3.5'),
        weights={'sci/x': dict(name='x', sha256='0123'), 'gamma': dict(name='g')},
        environment=dict(cpu='X', threads=2),
        config_diff=dict(joint='a diff'),
        base='sci/x',
        seed=0,
    )
    lines = tell_about(about, [])
    assert lines[:4] == [
        '- config: a.py',
        '- annotation version: 2021',
        '- checkpoint: b.pth',
        '- checkpoint sha256: 4a5b',
    ]
    assert '- versions: torch 2.14, mmdet 3.5' in lines
    assert '- sci/x: x (sha256 0123)' in lines
    assert '- gamma: g' in lines
    assert '- environment: cpu X, threads 2' in lines
    assert not any('a diff' in line or line.startswith('- seed') for line in lines)
    assert lines[-1].startswith('- Δ: difference to sci/x, the first column')


def test_nothing_known() -> None:
    (line,) = tell_about(dict(weights={}, sha256=None), [])
    assert 'the first column, on the same images' in line
