"""`python -m sport`: the command line."""

from sport.cli import main

main()
