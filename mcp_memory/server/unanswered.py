"""Which questions the client's own model, or its user, was asked and never answered."""

import hashlib
from collections import deque
from typing import Final

_REMEMBERED: Final = 64


class Unanswered:
    """The last questions that a client was asked and has not answered."""

    def __init__(self) -> None:
        self._asked: deque[bytes] = deque(maxlen=_REMEMBERED)

    def ask(self, user: str, question: str) -> bool:
        """Whether to ask now: not a second time while the first has no answer."""
        key = _key(user, question)
        if key in self._asked:
            return False
        self._asked.append(key)
        return True

    def answered(self, user: str, question: str) -> None:
        """A reply has come."""
        if (key := _key(user, question)) in self._asked:
            self._asked.remove(key)


def _key(user: str, question: str) -> bytes:
    return hashlib.blake2b(f"{user}\0{question}".encode(), digest_size=16).digest()
