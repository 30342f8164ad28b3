"""One line in place of a traceback where a script lacks what it needs."""

import contextlib
import sys
from pathlib import Path

EXIT_ENVIRONMENT = 3


@contextlib.contextmanager
def needs(*packages):
    """Around imports. Where one fails the script ends with the command that installs `packages`, as pip calls them."""
    try:
        yield
    except ImportError as missing:
        print(f"{Path(sys.argv[0]).stem}: {missing}; install what it needs: python3 -m pip install {' '.join(packages)}",
              file=sys.stderr)
        sys.exit(EXIT_ENVIRONMENT)
