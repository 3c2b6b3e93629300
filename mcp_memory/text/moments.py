"""Lengths and points of time as callers write them."""

import re
from datetime import datetime, tzinfo


def parse_duration(text: str) -> int | None:
    """Microseconds of a length such as `30d`, `12h` or `2w`; None if `text` is not one."""
    match = re.fullmatch(r"(\d{1,5})\s*([hdw])", text.strip().lower(), re.ASCII)
    if match is None:
        return None
    return int(match[1]) * {"h": 3600, "d": 86_400, "w": 604_800}[match[2]] * 1_000_000


def parse_moment(text: str, zone: tzinfo | None) -> int | None:
    """Microseconds since the epoch of an ISO 8601 date or date-time; None if `text` is not one.

    Without an offset it is a time in `zone` (None: the system's); a date alone is its first moment there.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
        whole = moment.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return round(whole) * 1_000_000 + moment.microsecond
