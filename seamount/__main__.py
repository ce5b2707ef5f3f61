"""``python -m seamount`` is the ``seamount`` command."""

from seamount.cli import main

main()
