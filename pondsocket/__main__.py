"""``python -m pondsocket``: the same as the ``pondsocket`` script."""

import sys

from pondsocket.cli import main

__all__: list[str] = []

sys.exit(main())
