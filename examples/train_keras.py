"""Private training of a Keras model on a hundred simulated devices: epsilon 8 for each device and the whole training.

Replace the model and the data by your own. The ledger is a file that remains, and `Ledger.create` never replaces one.
To train again on the same data, open it with `Ledger.open`: the costs of both trainings add up.
"""

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
target = Target(epsilon=8, delta=1e-3, releases=10, colluding=5)  # 5 clients may tell the server their noise shares.
mean = SecureMean.plan(
    protocol=protocol,
    clients=devices.clients,
    minimum_contributors=85,  # With fewer, nothing is released.
    shapes=shapes,
    clip_l2=0.5,
    target=target,
)
step = ServerStep(learning_rate=2.5, momentum=0.9)
with Ledger.create("keras-budget.sqlite", epsilon=8, delta=1e-3, population=100) as ledger:
    engine = InMemory(devices, dropping=10)
    training = SecureAveraging(engine=engine, model=devices.model, test=test, mean=mean, ledger=ledger, step=step)
    for _ in range(10):
        record = training.round()
        print(f"round {record.round}: accuracy {record.accuracy:.3f}, epsilon {record.epsilon:.2f}")
model.set_weights(training.state.weights)
model.save(Path("model.keras"))
