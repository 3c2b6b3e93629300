"""The chat model of the operator's choice that decides what becomes a memory."""
