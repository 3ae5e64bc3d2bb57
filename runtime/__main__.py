"""`python -m lmc.runtime PLAN`: run a compiled plan where only spec and runtime are installed."""

import sys

from .worker import main

sys.exit(main())
