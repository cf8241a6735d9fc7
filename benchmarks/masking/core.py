"""If a benchmark is the main program, importing this keeps it to one core and its arithmetic to one thread.

Import it before numpy. In every other program, such as a test that imports a benchmark, it changes nothing.
"""

import os
import sys

_spec = getattr(sys.modules["__main__"], "__spec__", None)
if _spec is not None and _spec.name.startswith("benchmarks."):
    for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_threads] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
