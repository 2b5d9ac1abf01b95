"""``python -m swampstore_cli``, and what the installed ``swamp`` command calls.

It imports nothing before it is ready for Ctrl-C: the imports take most of the time of a short command.
"""

import gc
import sys

_FIRST_COLLECTION = 50_000
"""New objects before the collector looks at them. The usual 700 come up over and over during the imports, which make
nothing but what stays."""


def run() -> None:
    """Run the command; interrupted before that has begun, end like it would."""
    gc.set_threshold(_FIRST_COLLECTION)
    try:
        if None in (sys.stdin, sys.stdout, sys.stderr):
            from swampstore_cli.descriptors import fill

            fill()
        from swampstore_cli.main import run as command

        command()
    except KeyboardInterrupt:
        import os

        os.write(2, b"interrupted\n")
        os._exit(130)


if __name__ == "__main__":
    run()
