"""What is said of values that a label map should not hold."""

from sci_plugins.datasets.night_layouts import LabelCode

CODE = LabelCode({0: 'a', 1: 'b', 4: 'c'}, frozenset([5, 255]), 'these are ids')


def test_runs_of_known_values() -> None:
    assert CODE.tell({99: 3}) == 'holds 99 (3 pixels); known are 0 to 1, 4 to 5, 255'


def test_the_hint_stands_where_it_can_be_true() -> None:
    assert CODE.tell({33: 1}).endswith('255 (these are ids)')
    assert 'ids' not in CODE.tell({33: 1, 34: 1})


def test_many_values_are_counted() -> None:
    text = CODE.tell(dict.fromkeys(range(10, 30), 1))
    assert '17 (1 pixels), 12 more; known' in text
