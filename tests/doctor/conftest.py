"""Worlds for the doctor."""

from tests.workers.conftest import tiny, world  # noqa: F401
