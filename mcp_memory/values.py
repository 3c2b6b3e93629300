"""What all frozen values have in common, and how fields from outside become one."""

from typing import Any, Self, dataclass_transform

from msgspec import Struct, StructMeta, ValidationError, convert, field, structs


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
    def checked(cls, given: object) -> Self:
        """The value of a mapping of fields, of any types; a list becomes a tuple, a text a member of its enumeration.

        Raises:
            msgspec.ValidationError: a field is missing, unknown or of another type; the message ends with its path.
        """
        try:
            return convert(given, cls)
        except UnicodeEncodeError:
            raise ValidationError("Expected Unicode, got half of a surrogate pair") from None


def misfit(error: ValidationError) -> tuple[str, str]:
    """Where fields did not fit a value, as a dotted path that is empty for the whole, and why."""
    message = str(error).replace("`", "")
    told, found, path = message.rpartition(" - at $")
    return (path.replace("[", ".").replace("]", "").lstrip("."), told) if found else ("", message)
