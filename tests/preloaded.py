"""Imported by the process that others are forked from, so that none of them reads the table of words by itself."""

from mcp_memory.embed.builtin import load_table

load_table()
