"""The arrays of a model, an update or a mean, and their shapes."""

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[np.float64]]
Shapes = tuple[tuple[int, ...], ...]
