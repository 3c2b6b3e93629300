"""`mcp-memory demo`: a client talks to the real server, on a database that is gone afterwards."""


def run() -> None:
    """Act as a client and print each step."""
