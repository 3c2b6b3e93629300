"""What is told to libraries through the environment, before any of them is loaded."""

from collections.abc import MutableMapping
from typing import Final

_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def calm(environ: MutableMapping[str, str]) -> None:
    """One thread for numpy's arithmetic, and no search for plugins of pydantic, unless the environment says otherwise.

    numpy's own threads wait for work by spinning: on two cores a search of 1,000 memories took twice the processor
    time. A plugin is looked for in every package that is installed, which takes as long as opening a file of memories.
    """
    for name in _THREADS:
        environ.setdefault(name, "1")
    environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
