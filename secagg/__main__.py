"""`python -m secagg` is the command `secagg`."""

from secagg.cli import main

main()
