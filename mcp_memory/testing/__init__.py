"""Deterministic fakes for tests of this package and of those who build on it."""

from mcp_memory.testing.clock import FakeClock

__all__ = ["FakeClock"]
