"""Boxes of `SeedSum` repeat in these tests."""

from tests.support.repeatable_boxes import repeatable_boxes as repeatable_boxes
