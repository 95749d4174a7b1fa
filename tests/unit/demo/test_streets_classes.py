"""The demo's classes: one colour each, and room for what is ignored."""

from sci_plugins.demo.streets import IGNORED, STREET_CLASSES, STREET_PALETTE


def test_one_colour_for_each_class() -> None:
    assert len(STREET_CLASSES) == len(STREET_PALETTE)
    assert len(set(STREET_CLASSES)) == len(STREET_CLASSES)
    assert len(set(STREET_PALETTE)) == len(STREET_PALETTE)
    assert all(
        len(colour) == 3 and all(0 <= value <= 255 for value in colour) for colour in STREET_PALETTE
    )


def test_what_is_ignored_is_no_class() -> None:
    assert IGNORED == 255  # what mmseg ignores by default
    assert len(STREET_CLASSES) <= IGNORED
