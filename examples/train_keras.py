"""Any Keras model, any data: a hundred devices train it together, at a client-level epsilon of 8 for the whole run."""

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

from dp import Ledger
from protocols import SecAggPlus
from secagg import Devices, InMemory, KerasModel, SecureAveraging, SecureMean, ServerStep, Target

x, y = load_digits(return_X_y=True)
x = x.astype(np.float32) / 16
test, shards = (x[:300], y[:300]), list(zip(np.array_split(x[300:], 100), np.array_split(y[300:], 100), strict=True))

model = KerasModel(
    lambda: keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, "softmax")]), learning_rate=0.03, seed=1
)
devices = Devices(model=model, shards=shards, epochs=3, batch_size=8, seed=1)
shapes = [array.shape for array in model.get_weights()]
protocol, _ = SecAggPlus.suggest(clients=100, adversarial=0.05, dropout=0.1)
target = Target(epsilon=8, delta=1e-3, releases=10, colluding=5)
mean = SecureMean.plan(
    protocol=protocol,
    clients=devices.clients,
    minimum_contributors=85,
    shapes=shapes,
    clip_l2=0.5,
    target=target,
)
step = ServerStep(learning_rate=2.5, momentum=0.9)
with Ledger.create("budget.sqlite", epsilon=8, delta=1e-3, population=100) as ledger:  # never replaces an old one
    training = SecureAveraging(
        engine=InMemory(devices, dropping=10), model=devices.model, test=test, mean=mean, ledger=ledger, step=step
    )
    for _ in range(10):
        record = training.round()
        print(f"round {record.round}: accuracy {record.accuracy:.3f}, epsilon {record.epsilon:.2f}")
model.set_weights(training.state.weights)
model.save(Path("model.keras"))
