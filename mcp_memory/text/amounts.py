"""Numbers of things and of bytes, as people read them."""


def counted(count: int, singular: str, plural: str) -> str:
    """`count` with its noun."""
    return f"{count:,} {singular if count == 1 else plural}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e9:,.0f} GB" if count >= 10e9 else f"{count / 1e6:,.1f} MB"
