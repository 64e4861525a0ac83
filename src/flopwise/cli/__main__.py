"""``python -m flopwise.cli``, for where the script is not on the path."""

from flopwise.cli import main

main()
