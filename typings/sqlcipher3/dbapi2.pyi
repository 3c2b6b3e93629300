# What of sqlcipher3, which has no types, is used here: the interface of the standard library's sqlite3 on a library of
# its own. Its classes are no subclasses of sqlite3's, but have the same methods.
import sqlite3

class Error(Exception): ...

class DatabaseError(Error):
    sqlite_errorname: str

class Row(sqlite3.Row): ...

def connect(
    database: str,
    *,
    timeout: float = ...,
    isolation_level: str | None = ...,
    uri: bool = ...,
) -> sqlite3.Connection: ...
