"""``python -m swampstore_cli``, and what the installed ``swamp`` command calls.

It imports nothing before it is ready for Ctrl-C: the imports take most of the time of a short command.
"""


def run() -> None:
    """Run the command; interrupted before that has begun, end like it would."""
    try:
        from swampstore_cli.main import run as command

        command()
    except KeyboardInterrupt:
        import os

        os.write(2, b"interrupted\n")
        os._exit(130)


if __name__ == "__main__":
    run()
