"""`python -m ircc` is the command `ircc`."""

import sys

from .cli import main

sys.exit(main())
