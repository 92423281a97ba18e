"""`python -m chainlift`: the command line, for torchrun and for machines without the script on their path."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]  # Python puts the working directory first; its files would hide installed modules

from chainlift.cli import main

if __name__ == "__main__":
    main()
