"""The code of LightSecAgg's masks: T shares tell nothing, any U give the mask, and wrong ones are found."""

import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from protocols.crypto.field import Field
from protocols.crypto.keystream import Words
from protocols.lightsecagg.coding import InconsistentShares, MaskCode

LENGTH = 5  # elements in a piece


def code(prime: int, privacy: int, responders: int) -> MaskCode:
    return MaskCode(field=Field(prime), privacy=privacy, responders=responders)


def parameters(most: int) -> Iterator[tuple[int, int, int]]:
    """All holders, privacy and responders up to a size."""
    for holders in range(2, most + 1):
        for responders in range(2, holders + 1):
            for privacy in range(1, responders):
                yield holders, privacy, responders


def dealt(code: MaskCode, holders: int, *, seed: int = 0, first: int = 0) -> tuple[Words, dict[int, Words]]:
    """A random mask and everyone's shares; those of T holders from the `first` on, in a circle, are drawn."""
    generator, prime, dtype = np.random.default_rng(seed), code.field.prime, code.field.dtype
    mask = generator.integers(0, prime, code.pieces * LENGTH, dtype=np.uint64).astype(dtype)
    mask[:3] = prime - 1
    drawn = {
        (first + offset) % holders: generator.integers(0, prime, LENGTH, dtype=np.uint64).astype(dtype)
        for offset in range(code.privacy)
    }
    rest = [holder for holder in range(holders) if holder not in drawn]
    return mask, drawn | dict(zip(rest, code.encode(mask, drawn, rest), strict=True))


def rank(matrix: list[list[int]], prime: int) -> int:
    rows, found = [list(row) for row in matrix], 0
    for column in range(len(matrix[0])):
        pivot = next((index for index in range(found, len(rows)) if rows[index][column] % prime), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, prime)
        for index in range(found + 1, len(rows)):
            factor = rows[index][column] * inverse % prime
            rows[index] = [(a - factor * b) % prime for a, b in zip(rows[index], rows[found], strict=True)]
        found += 1
    return found


@pytest.mark.parametrize("prime", [31, 2**31 - 1, 2**61 - 1])
def test_any_responders_decode_masks_of_any_clients(prime: int) -> None:
    for holders, privacy, responders in parameters(6):
        each = code(prime, privacy, responders)
        mask, shares = dealt(each, holders, first=holders - 1)
        for count in range(responders, holders + 1):
            for chosen in itertools.combinations(range(holders), count):
                assert (each.decode({holder: shares[holder] for holder in chosen}) == mask).all()


def test_sums_of_shares_decode_to_the_sum_of_masks_of_any_clients() -> None:
    each = code(2**31 - 1, 3, 5)
    masks, all_shares = zip(*(dealt(each, 7, seed=seed, first=seed) for seed in range(7)), strict=True)
    total = masks[0].copy()
    for mask in masks[1:]:
        each.field.add(total, mask)
    for chosen in itertools.combinations(range(7), 5):
        sums = {holder: all_shares[0][holder].copy() for holder in chosen}
        for shares, holder in itertools.product(all_shares[1:], chosen):
            each.field.add(sums[holder], shares[holder])
        assert (each.decode(sums) == total).all()


def generator_matrix(each: MaskCode, holders: int, drawn: tuple[int, ...]) -> list[list[int]]:
    """A row for each holder: its share from the pieces, then from the drawn shares."""
    rest = [holder for holder in range(holders) if holder not in drawn]
    rows = dict(zip(rest, each.matrix(drawn, rest), strict=True))
    unit = [[int(i == each.pieces + j) for i in range(each.responders)] for j in range(each.privacy)]
    return [(rows | dict(zip(drawn, unit, strict=True)))[holder] for holder in range(holders)]


@pytest.mark.parametrize("prime", [13, 2**31 - 1])
def test_any_columns_of_the_matrix_are_invertible(prime: int) -> None:
    """T-privacy: the drawn part of any T shares has rank T.  Decoding: any U shares have rank U."""
    for holders, privacy, responders in parameters(6):
        each = code(prime, privacy, responders)
        for drawn in itertools.combinations(range(holders), privacy):
            rows = generator_matrix(each, holders, drawn)
            for chosen in itertools.combinations(rows, privacy):
                assert rank([row[each.pieces :] for row in chosen], prime) == privacy
            for chosen in itertools.combinations(rows, responders):
                assert rank(list(chosen), prime) == responders


@pytest.mark.parametrize(("prime", "holders", "privacy", "responders"), [(7, 4, 1, 3), (7, 5, 2, 3), (11, 4, 2, 4)])
def test_few_shares_are_uniform_whatever_the_mask_and_one_more_tells(
    prime: int, holders: int, privacy: int, responders: int
) -> None:
    """Exact: every mask, every drawn share, every choice of T holders."""
    each = code(prime, privacy, responders)
    field, pieces = each.field, each.pieces
    drawn = np.array(list(itertools.product(range(prime), repeat=privacy)), dtype=field.dtype).T
    everything = set(itertools.product(range(prime), repeat=privacy))
    told: dict[tuple[int, ...], set[tuple[tuple[int, ...], ...]]] = {}
    for mask in itertools.product(range(prime), repeat=pieces):
        repeated = np.repeat(np.array(mask, dtype=field.dtype), drawn.shape[1])
        rest = range(privacy, holders)
        shares = [*drawn, *each.encode(repeated, dict(enumerate(drawn)), rest)]
        for chosen in itertools.combinations(range(holders), privacy):
            assert Counter(zip(*(shares[h].tolist() for h in chosen), strict=True)) == Counter(everything)
        for chosen in itertools.combinations(range(holders), privacy + 1):
            view = tuple(sorted(zip(*(shares[h].tolist() for h in chosen), strict=True)))
            told.setdefault(chosen, set()).add(view)
    assert all(len(views) > 1 for views in told.values())


def forged(shares: dict[int, Words], liars: tuple[int, ...], prime: int, *, seed: int) -> dict[int, Words]:
    """Each liar's share with an error in some coordinates, at least one."""
    generator, answers = np.random.default_rng(seed), {holder: share.copy() for holder, share in shares.items()}
    for liar in liars:
        wrong = generator.random(LENGTH) < 0.4
        wrong[generator.integers(LENGTH)] = True
        errors = generator.integers(1, prime, LENGTH, dtype=np.uint64)
        answers[liar] = np.where(wrong, (answers[liar] + errors) % np.uint64(prime), answers[liar]).astype(
            answers[liar].dtype
        )
    return answers


@pytest.mark.parametrize("prime", [31, 2**15 - 19, 2**31 - 1])
def test_liars_up_to_half_of_the_redundant_shares_are_named(prime: int) -> None:
    named = 0
    for holders, privacy, responders in parameters(8):
        each = code(prime, privacy, responders)
        _, shares = dealt(each, holders)
        for count in range(1, (holders - responders) // 2 + 1):
            for liars in itertools.combinations(range(holders), count):
                with pytest.raises(InconsistentShares) as caught:
                    each.decode(forged(shares, liars, prime, seed=named))
                assert caught.value.positions == set(liars)
                named += 1
    assert named > 300


@pytest.mark.parametrize("prime", [31, 2**31 - 1])
def test_liars_up_to_all_redundant_shares_are_noticed(prime: int) -> None:
    for holders, privacy, responders in parameters(6):
        each = code(prime, privacy, responders)
        _, shares = dealt(each, holders)
        for count in range(1, holders - responders + 1):
            for liars in itertools.combinations(range(holders), count):
                with pytest.raises(InconsistentShares):
                    each.decode(forged(shares, liars, prime, seed=sum(liars)))


def test_liars_in_different_coordinates_are_all_named() -> None:
    each = code(2**31 - 1, 2, 4)
    mask, shares = dealt(each, 10)
    for coordinate, liar in enumerate((9, 0, 4)):
        shares[liar] = shares[liar].copy()
        shares[liar][coordinate] ^= 1
    with pytest.raises(InconsistentShares) as caught:
        each.decode(shares)
    assert caught.value.positions == {0, 4, 9}
    assert (each.decode({holder: share for holder, share in shares.items() if holder not in {0, 4, 9}}) == mask).all()


def test_too_many_liars_are_noticed_without_naming_anyone() -> None:
    each = code(2**31 - 1, 1, 4)
    _, shares = dealt(each, 6)
    with pytest.raises(InconsistentShares) as caught:
        each.decode(forged(shares, (1, 4), 2**31 - 1, seed=0))
    assert caught.value.positions == frozenset()


def test_pieces_cover_every_coordinate() -> None:
    each = code(31, 2, 5)
    assert [each.piece_length(length) for length in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(("privacy", "responders"), [(-1, 2), (2, 2), (3, 2), (0, 0)])
def test_thresholds_that_do_not_fit_are_refused(privacy: int, responders: int) -> None:
    with pytest.raises(ValueError, match="privacy"):
        code(31, privacy, responders)


def test_wrong_numbers_of_shares_are_refused() -> None:
    each = code(31, 2, 4)
    mask, shares = dealt(each, 6)
    with pytest.raises(ValueError, match="shares: expected at least 4, found 3"):
        each.decode({holder: shares[holder] for holder in range(3)})
    for count in (1, 3):
        with pytest.raises(ValueError, match="random shares"):
            each.encode(mask, {holder: shares[holder] for holder in range(count)}, [5])
    with pytest.raises(ValueError, match="differ modulo the prime"):
        each.encode(mask, {0: shares[0], 31: shares[1]}, [5])
