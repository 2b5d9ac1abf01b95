"""What the benchmarks compare with, in the same session."""
