"""The contract of an embedder, and how its vectors are kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mcp_memory.models import Vector

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


_LARGEST: Final = 127


def packed(matrix: "Matrix") -> list[Vector]:
    """The rows of `matrix` as one signed byte a dimension; that keeps 99 % of the 20 nearest.

    A text that the model knows nothing of has zeros: it is close to nothing, and not looked at again.
    """
    import numpy as np

    scales = np.abs(matrix).max(axis=1, initial=0) / _LARGEST
    scales = np.where(scales > 0, scales, np.float32(1 / _LARGEST))
    codes = np.rint(matrix / scales[:, None]).astype(np.int8)
    return [Vector(float(scale), row.tobytes()) for scale, row in zip(scales, codes, strict=True)]
