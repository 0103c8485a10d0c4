"""The process that starts runs, without what runs import: for tests of the process itself."""

from __future__ import annotations

import sys

from spa.cli import cell_server

if __name__ == "__main__":
    cell_server._PRELOADED = ()
    sys.exit(cell_server.main())
