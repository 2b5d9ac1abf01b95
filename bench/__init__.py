"""Measurements: named workloads, each printing its figures and keeping the raw results."""
