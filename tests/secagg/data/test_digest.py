import numpy as np

from secagg.data.digest import digest

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 0, 1])


def test_digest_is_of_values_and_not_of_their_place_in_memory() -> None:
    assert digest(X, Y) == digest(np.asfortranarray(X), Y) == digest(X.astype(">f4"), Y.astype(">i8"))
    assert len(digest(X, Y)) == 64


def test_digest_tells_shape_dtype_values_and_order_apart() -> None:
    other = X.copy()
    other[3, 2] = 0
    found = [digest(X, Y), digest(X.reshape(3, 4), Y), digest(X.astype(np.float64), Y), digest(other, Y), digest(Y, X)]
    found += [digest(X), digest(X[:2], X[2:])]
    assert len(set(found)) == len(found)
