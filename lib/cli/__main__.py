"""`python -m lesionlabel.cli`: the command line without its script."""

from lesionlabel.cli.main import main

main()
