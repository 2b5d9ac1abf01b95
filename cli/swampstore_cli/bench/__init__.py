"""``swamp bench``: the work (``workloads``), the processes that do it (``worker``, ``crew``), and what came of it."""
