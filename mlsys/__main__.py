"""`python -m mlsys`."""

import sys

from mlsys.cli import main

if __name__ == "__main__":
    sys.exit(main())
