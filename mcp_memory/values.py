"""What all frozen values have in common, and how fields from outside become one."""

import re
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Self, Union, dataclass_transform, get_args, get_origin

from msgspec import Struct, StructMeta, ValidationError, convert, field, structs

_PATH: Final = r" - at (?:key in )?`\$(?P<path>[^`]*)`$"
_PART: Final = r"[^.\[\]]+"
_NO_CHOICE: Final = "Invalid enum value "
"""How msgspec tells of a text that is none of the allowed ones; it does not name those."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class _Frozen(StructMeta):
    """Makes every class of values frozen, with fields given by name and no others, without saying so at each."""

    def __new__(
        mcs: type["_Frozen"],
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        forbid_unknown_fields: bool = True,
    ) -> "_Frozen":
        return super().__new__(
            mcs, name, bases, namespace, frozen=True, kw_only=True, forbid_unknown_fields=forbid_unknown_fields
        )


class Value(Struct, metaclass=_Frozen):
    """A frozen value with a closed set of fields. What comes from outside is read by `checked`, not by the constructor.

    No models of pydantic: a command would take half its time to load that library and to build them.
    """

    def replace(self, **changes: object) -> Self:
        """The same with other values for some fields."""
        return structs.replace(self, **changes)

    def fields(self) -> dict[str, Any]:
        """The fields by name; values in them stay values."""
        return structs.asdict(self)

    @classmethod
    def checked(cls, given: object, *, strict: bool = True) -> Self:
        """The value of a mapping of fields, of any types; a list becomes a tuple, a text a member of its enumeration.

        Not `strict`, a number or a truth may also be written as text, a truth as 1 or 0.

        Raises:
            Misfit: a field is missing, unknown or of another type.
        """
        try:
            return convert(given, cls, strict=strict)
        except ValidationError as error:
            raise _misfit(error, cls) from error.__cause__
        except UnicodeEncodeError:
            raise Misfit("", "expected Unicode, got half of a surrogate pair") from None


class Misfit(ValueError):
    """Fields that make no value. `place` is a dotted path, empty for the whole; `why` quotes no value."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place}: {why}" if place else why)
        self.place = place
        self.why = why


def _misfit(error: ValidationError, kind: type[Struct]) -> Misfit:
    message = str(error)
    found = re.search(_PATH, message)
    told = message[: found.start()] if found else message
    parts = re.findall(_PART, found["path"]) if found else []
    if told.startswith(_NO_CHOICE):
        told = f"it is none of {', '.join(_choices(kind, parts))}"
    return Misfit(".".join(parts), (told[:1].lower() + told[1:]).replace("`", ""))


def plain_type(kind: object) -> object:
    """`kind` without its limits, and without None where that is allowed too."""
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        return plain_type(arguments[0])
    if get_origin(kind) in {Union, UnionType}:
        return plain_type(next(one for one in arguments if one is not NoneType))
    return kind


def _choices(kind: object, path: list[str]) -> list[str]:
    """What may stand at `path`, where that is a choice."""
    for part in path:
        if isinstance(kind, type) and issubclass(kind, Struct):
            kind = plain_type(next((one.type for one in structs.fields(kind) if one.name == part), None))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [one.value for one in kind]
    return [str(one) for one in get_args(kind)]
