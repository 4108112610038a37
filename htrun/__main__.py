"""``python -m htrun``: the same as the command ``htrun``."""

from __future__ import annotations

from htrun.commands.run import main

raise SystemExit(main())
