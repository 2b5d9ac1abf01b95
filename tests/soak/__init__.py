"""The soak: everything at once in real processes for hours, with faults; see ``python -m tests.soak --help``."""
