"""The work that benchmarks measure, one generator function per job; see :mod:`bench.children` for their form."""
