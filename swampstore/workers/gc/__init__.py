"""Garbage collection of entries: what has expired and what retention gives up is removed by appending tombstones.

It is a writer like any other: it reads one snapshot, appends, and leaves the rest to the compactor and the sweep.
"""
