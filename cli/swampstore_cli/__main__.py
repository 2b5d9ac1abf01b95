"""``python -m swampstore_cli`` is the ``swamp`` command."""

from swampstore_cli.main import run

if __name__ == "__main__":
    run()
