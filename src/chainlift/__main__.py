"""`python -m chainlift`: the command line, for torchrun and for machines without the script on their path."""

from chainlift.cli import main

if __name__ == "__main__":
    main()
