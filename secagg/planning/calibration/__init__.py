"""The durations of operations on this machine, for the models of cost: `secagg bench --calibrate`."""
