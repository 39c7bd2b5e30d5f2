"""`python -m cimcare` is the command `cimcare`."""

from cimcare.cli import main

main(prog_name="cimcare")
