import numpy as np

from secagg.models.inputs import batches


def test_batches_show_every_example_once_an_epoch() -> None:
    parts = list(batches(10, epochs=3, batch_size=4, seed=0))
    assert [len(part) for part in parts] == [4, 4, 2] * 3
    epochs = [np.concatenate(parts[start : start + 3]) for start in (0, 3, 6)]
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_batches_follow_the_seed() -> None:
    orders = [np.concatenate(list(batches(50, epochs=1, batch_size=8, seed=seed))) for seed in (1, 1, 2)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_batches_larger_than_the_data_take_it_whole() -> None:
    assert [len(part) for part in batches(5, epochs=2, batch_size=8, seed=0)] == [5, 5]
