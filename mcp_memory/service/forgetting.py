"""Forgetting for good: a person's last word, which no undo takes back."""

import logging
from typing import Final

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.errors import InvalidInput, NotFound
from mcp_memory.models import Doomed, Erased, OneMemory, Origin, Receipt, Revision, WholeUser
from mcp_memory.service.outcomes import Held
from mcp_memory.service.writing import FORGET, Writing
from mcp_memory.store.base import Store

WAIT: Final = 10.0
"""Seconds that an erasing waits for those who read in the file."""

_log = logging.getLogger(__name__)


class Forgetting:
    """Erases a user, or one memory, from everything that a store keeps. For the operator, not a tool."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._writing = Writing(clock)

    async def held(self, user: str) -> Held:
        """How much there is of a user: nothing, where nothing was ever written or all is erased already.

        Raises:
            InvalidInput: this cannot be a user's name.
        """
        user = guard.user(user)
        found = [one for one in await self._store.users() if one.user == user]
        return Held(memories=sum(one.memories for one in found), writes=sum(one.writes for one in found))

    async def versions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first, whether it still is there or was deleted.

        Raises:
            InvalidInput: this cannot be a user's name, or no id is given.
        """
        return await self._store.revisions(guard.user(user), _id(memory_id))

    async def user(self, user: str, wait: float = WAIT) -> Receipt:
        """Erase everything of one user. Running it again completes what was interrupted or could not be done.

        Raises:
            InvalidInput: this cannot be a user's name.
            NotFound: there is nothing of that user, not even in a backup.
            StoreError: nothing was erased.
        """
        user = guard.user(user)
        return await self._erase(WholeUser(user=user), f"user {guard.shown(user)}", wait)

    async def memory(self, user: str, memory_id: str, origin: Origin, wait: float = WAIT) -> Receipt:
        """Erase one memory in all its versions, and what names it. What another memory says of it stays.

        Raises:
            InvalidInput: this cannot be a user's name, or no id is given.
            NotFound: there is no such memory of this user, not even in a backup.
            StoreError: nothing was erased.
        """
        user, memory_id = guard.user(user), _id(memory_id)
        trace = self._writing.change(origin.replace(tool=FORGET), self._clock.now(), "forgot 1 memory")
        doomed = OneMemory(user=user, id=memory_id, change=trace.replace(system=True))
        return await self._erase(doomed, f"memory {guard.shown(memory_id)} of this user", wait)

    async def _erase(self, doomed: Doomed, named: str, wait: float) -> Receipt:
        receipt = await self._store.erase(doomed, wait)
        if receipt.erased == Erased() and not (receipt.altered or receipt.cleaned or receipt.unfinished):
            searched = f" or its backups ({receipt.copies})" if receipt.copies else ""
            raise NotFound(f"No {named} in the file{searched}; nothing was erased. Check the name.")
        gone = ", ".join(f"{count} {what}" for what, count in receipt.erased.fields().items())
        ended = "complete" if not receipt.unfinished else "not complete"
        # Counts alone: a log that named what was forgotten would keep it.
        _log.info("erased %s; %d of %d backups altered; %s", gone, receipt.altered, receipt.copies, ended)
        return receipt


def _id(given: str) -> str:
    if not given.strip():
        raise InvalidInput("the id is empty; give the id of one memory")
    return given.strip()
