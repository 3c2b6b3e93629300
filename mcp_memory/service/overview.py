"""What there is: all of a user's memories and how they are spread, whose there are, and another name for a user."""

import sys
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Final

from mcp_memory import guard
from mcp_memory.clock import DAY, Clock
from mcp_memory.errors import Conflict, InvalidInput, NotFound
from mcp_memory.models import Filter, Memory, Page, Revision
from mcp_memory.service.damage import all_offered
from mcp_memory.store.base import Holding, Store
from mcp_memory.store.census import Census
from mcp_memory.values import Value

_PIECE: Final = 2_000
"""Memories read at once where all are wanted."""
_AGES: Final = {"last day": 1, "last week": 7, "last month": 30, "last year": 365}
"""Days that have passed at most."""
_OLDER: Final = "older"


class Stats(Value):
    """How a user's memories are spread; `ages` counts those of the last day, then of the rest of the last week ..."""

    census: Census
    ages: Mapping[str, int]


class Overview:
    """What there is in a store. All of it but `users` and `rename` is about one user alone."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def pages(self, user: str, scope: Filter, limit: int | None = None) -> AsyncGenerator[Page]:
        """The memories that `scope` keeps, newest created first, some at a time; all, or at most `limit` of them.

        There is at least one page, perhaps empty.

        Raises:
            InvalidInput: the limit is below 1.
        """
        user, before, more = guard.user(user), None, True
        left = sys.maxsize if limit is None else limit
        if left < 1:
            raise InvalidInput(f"limit must be 1 or more, not {limit}")
        while more:
            page = await self._store.page(user, scope, before, min(_PIECE, left))
            left -= len(page.memories)
            shown = await all_offered(page.memories, partial(self._history, user))
            more = page.more and left > 0
            yield page.replace(memories=shown)
            before = page.memories[-1].row if page.memories else None

    async def stats(self, user: str) -> Stats:
        """How the user's memories are spread; by age to a quarter of an hour."""
        user, now = guard.user(user), self._clock.now()
        census = await self._store.census(user, now)
        ages = dict.fromkeys((*_AGES, _OLDER), 0)
        for moment, count in census.created:
            ages[next((age for age, days in _AGES.items() if moment > now - days * DAY), _OLDER)] += count
        return Stats(census=census, ages=ages)

    async def users(self) -> list[Holding]:
        """Everybody who ever wrote, by name."""
        return sorted(await self._store.users(), key=lambda one: one.user)

    async def rename(self, user: str, name: str) -> Holding:
        """Give the user another name, which nobody has; what there is of the user.

        Raises:
            InvalidInput: one of these cannot be a user's name, or they are the same.
            NotFound: there is nothing of that user.
            Conflict: somebody has the new name already.
        """
        held = await self.renamable(user, name)
        if not await self._store.rename(guard.user(user), guard.user(name)):
            await self.renamable(user, name)
            raise Conflict("the users changed meanwhile; nothing was renamed, try again")
        return held

    async def renamable(self, user: str, name: str) -> Holding:
        """What there is of a user who can be given that name.

        Raises:
            InvalidInput: one of these cannot be a user's name, or they are the same.
            NotFound: there is nothing of that user.
            Conflict: somebody has the new name already.
        """
        user, name = guard.user(user), guard.user(name)
        if user == name:
            raise InvalidInput("the old and the new name are the same; nothing was renamed")
        there = {one.user: one for one in await self._store.users()}
        if user not in there:
            raise NotFound(f"No user {guard.shown(user)} in the file; mcp-memory users lists all.")
        if name in there:
            raise Conflict(f"User {guard.shown(name)} exists already; nothing was renamed. Choose another name.")
        return there[user]

    async def _history(self, user: str, memory: Memory) -> list[Revision]:
        return await self._store.revisions(user, memory.id)
