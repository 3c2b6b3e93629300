"""Whether a statement tells of something planned, by words that say so."""

from typing import Final

from mcp_memory.text.patterns import Pattern

_PLANNED: Final = Pattern(
    r"""(?xi)
    \b(?: plan(?:s|ned|ning)? | will | going\ to | wants?\ to | intends? | hopes?\ to | aims?\ to | appointment
    | deadline | due | scheduled | upcoming | booked | reserved | reservation | expires? | until | starts? | begins?
    | moves | flies | leaves | arrives | visits | meets | travels
    | plant | wird | möchte | will | termin | frist | gebucht | fliegt | reist | fährt | zieht
    | prévoit | va | veut | compte | rendez-vous | échéance | réservé | jusqu
    | planea | quiere | piensa | cita | plazo | reservado | hasta
    )\b
    | 计划 | 打算 | 将 | 预约 | 预订 | 予定 | つもり | 予約 | 約束 | 예정
    | 계획 | يخطط | سوف | موعد | план | собира | встреча
    """
)
_PAST: Final = Pattern(r"(?i)\b(?:was|were|had|did|went|used to|war|hatte|était|avait|fue|tuvo)\b")


def planned(text: str) -> bool:
    """Whether `text` speaks of what is to come, or was when it was written."""
    return _PLANNED.search(text) is not None and _PAST.search(text) is None
