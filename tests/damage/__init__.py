"""Stores in which segments are damaged while work goes on."""
