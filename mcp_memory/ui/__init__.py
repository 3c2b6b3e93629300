"""The memory browser: one page without dependencies, served on this machine or shown by a client as an MCP App."""
