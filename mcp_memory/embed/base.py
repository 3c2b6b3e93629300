"""The contract of an embedder, and how its vectors are kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    """Shape (texts, dimensions); rows of unit length, or all zero where a text has nothing that the model knows."""


class Embedder(Protocol):
    """Turns texts into vectors whose inner product tells how close their meanings are."""

    name: str
    """Model and version, as the file records it. Vectors of different names are never compared."""

    dimensions: int | None
    """Length of a vector; None until an endpoint has told it."""

    multilingual: bool
    """Whether it understands scripts other than Latin; where not, words count for more in a search."""

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """The vectors of `texts`, in their order.

        Raises:
            EmbeddingError: no usable vectors came in time; the message is one line that names the setting to change.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
