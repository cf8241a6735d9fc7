"""Sums in which each vector has a public weight: vectors of one weight are added up first, and multiplied once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from protocols.crypto.keystream import Masks, Words
from protocols.crypto.secret import Secret

T = TypeVar("T")


def rare_weights(weights: Sequence[int], least: int) -> str:
    """Return in words which weights occur, but fewer than `least` times; empty if there is none.

    A sum with such a weight would reveal the sum of its few clients' vectors, modulo the greatest common divisor of the
    other weights: there, the other clients' vectors add 0.
    """
    rare = sorted((weight, count) for weight, count in Counter(weights).items() if count < least)
    return ", ".join(f"weight {weight} {count} times" for weight, count in rare)


def weighted_sum(
    total: Words, items: Sequence[T], weights: Sequence[int], add: Callable[[Words, Sequence[T]], None]
) -> None:
    """Add vectors to a sum, in place, each times its weight.

    Args:
        total: Shape `(length,)`, of an unsigned type. The sum is modulo the size of its words.
        items: What the vectors are made from.
        weights: The weight of each of them, at least 1.
        add: Adds the vectors of some items to a sum, in place.
    """
    for weight, group in _by_weight(items, weights).items():
        if weight == 1:
            add(total, group)
            continue
        part = np.zeros_like(total)
        add(part, group)
        part *= part.dtype.type(weight % (1 << 8 * part.itemsize))
        total += part


class WeightedMasks:
    """Expansions of keys, which are added to a vector piece by piece, each times its weight.

    Args:
        keys: Seeds of 32 bytes.
        weights: The weight of each of them, at least 1.
        dtype: The words of the vector, a `word_dtype`.
        expected_bytes: About how many bytes the vector has.
    """

    def __init__(
        self,
        keys: Sequence[Secret],
        weights: Sequence[int],
        dtype: np.dtype[np.unsignedinteger[Any]],
        *,
        expected_bytes: int,
    ) -> None:
        groups = _by_weight([(np.add, key) for key in keys], weights)
        self._weights = tuple(groups)
        self._masks = [Masks(group, dtype, expected_bytes=expected_bytes) for group in groups.values()]

    def add(self, piece: Words) -> None:
        """Add the next entries of all masks, in place, modulo the word size; pieces come in order."""
        weighted_sum(piece, self._masks, self._weights, _apply)


def add_weighted_masks(total: Words, keys: Sequence[Secret], weights: Sequence[int]) -> None:
    """Add the expansions of keys to a sum, in place and modulo the size of its words, each times its weight."""
    WeightedMasks(keys, weights, total.dtype, expected_bytes=total.nbytes).add(total)


def _apply(piece: Words, several: Sequence[Masks]) -> None:
    for masks in several:
        masks.apply(piece)


def _by_weight(items: Sequence[T], weights: Sequence[int]) -> dict[int, list[T]]:
    groups = dict[int, list[T]]()
    for item, weight in zip(items, weights, strict=True):
        groups.setdefault(weight, []).append(item)
    return groups
