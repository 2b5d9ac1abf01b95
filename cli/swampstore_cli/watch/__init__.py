"""Watching a store: samples of its state, what changed between them, a terminal view and a page of it.

Read-only, and cheap enough to leave on: a sample of a namespace is one list and one conditional read; queues are looked at
only every few samples.
"""
