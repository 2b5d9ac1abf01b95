"""Shared lanes, updates, streams, locks and queues, attacked."""
