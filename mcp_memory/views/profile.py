"""The profile in both forms: text for a prompt, and JSON that has all of every memory."""

from typing import NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory.models import LABEL
from mcp_memory.service.profile import Profile
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.digest import Group
from mcp_memory.views import data


class GroupData(TypedDict):
    """One group: what holds it together, and its memories."""

    kind: str
    topic: NotRequired[str]
    memories: list[data.MemoryData]


class ProfileData(TypedDict):
    """A profile; `tokens` is what its text takes, by our estimate, and `total` counts all memories."""

    label: str
    groups: list[GroupData]
    left_out: list[data.LeftOutData]
    total: int
    tokens: int
    max_tokens: int


def text(profile: Profile) -> str:
    """The profile as it is put into a prompt, within its budget."""
    return profile.text


def structured(profile: Profile) -> ProfileData:
    """The profile for programs."""
    return ProfileData(
        label=LABEL,
        groups=list(map(_group, profile.groups)),
        left_out=data.left_out(profile.left_out),
        total=profile.total,
        tokens=profile.tokens,
        max_tokens=profile.max_tokens,
    )


def _group(group: Group) -> GroupData:
    told = GroupData(kind=group.kind, memories=[data.memory(one) for one in group.memories])
    if group.topic:
        told["topic"] = escaped(group.topic)
    return told
