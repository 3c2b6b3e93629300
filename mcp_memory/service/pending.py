"""New memories that wait for a person's approval: whose must, and what anybody but that person is shown of them.

A pending memory is a row like any other whose `state` keeps it out of every read of the store. Besides, it stands in
the versions of memories and in what changes did; there `veiled` leaves nothing of it but its id.
"""

from typing import Any, Final, Literal, NamedTuple, assert_never

from mcp_memory.models import Memory, Origin, Revision, State
from mcp_memory.sections import ApprovalConfig

VEIL: Final = "(waits for approval)"
"""What stands for the text of a pending memory."""


class Person(Origin):
    """A person who acts at first hand, at a terminal or in the browser, or was asked and agreed.

    What they remember waits for nobody. No tool takes its caller for one: a model cannot approve what it proposes.
    """


Way = Literal["added", "extracted"]
"""How a memory comes about: by itself, or decided on, with others, out of a conversation."""


class Beginning(NamedTuple):
    """What a new memory begins as; what was proposed at the moment `gone` or before waits no longer."""

    state: State
    gone: int

    @property
    def waits(self) -> bool:
        """Whether it needs a person's approval."""
        return self.state is State.PENDING


COUNTS: Final = Beginning(State.ACTIVE, -1)


def beginning(config: ApprovalConfig, way: Way, origin: Origin, now: int) -> Beginning:
    """What a new memory begins as at `now`."""
    match config.mode:
        case "off":
            held = False
        case "extracted":
            held = way == "extracted"
        case "all":
            held = True
        case _ as never:
            assert_never(never)
    return Beginning(State.PENDING, config.gone(now)) if held and not isinstance(origin, Person) else COUNTS


def veiled(memory: Memory) -> Memory:
    """`memory`, without anything that it says as long as it waits for approval."""
    if memory.state is State.ACTIVE:
        return memory
    blank: dict[str, Any] = {"key": None, "topics": (), "pinned": False, "metadata": {}, "last_good": None}
    return memory.replace(**blank | {"content": VEIL})


def veiled_revision(revision: Revision) -> Revision:
    """The same of a version; the reason for it may quote it."""
    if revision.memory.state is State.ACTIVE:
        return revision
    return revision.replace(memory=veiled(revision.memory), reason=None)
