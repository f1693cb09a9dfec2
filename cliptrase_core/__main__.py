"""Entry point of `python -m cliptrase_core`; see `cli`."""

from cliptrase_core.cli import main

raise SystemExit(main())
