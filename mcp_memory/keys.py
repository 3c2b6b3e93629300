"""The key of an encrypted database: what it is, and where it is fetched from when the store opens.

A key is in no message, no log and no `repr`. Of a command that prints it nothing but the first line is ever looked at.
"""

import hashlib
import os
import shlex
import subprocess
from functools import partial
from typing import Final

import anyio
import anyio.to_thread

from mcp_memory.errors import ConfigError
from mcp_memory.sections import EncryptionConfig
from mcp_memory.text.patterns import Pattern

COMMAND_SECONDS: Final = 60.0
"""What `key_command` may take: a password manager may have to ask its owner first."""

ITERATIONS: Final = 256_000
"""Rounds of PBKDF2 with HMAC-SHA512 from a passphrase to a key of 32 bytes: the defaults of SQLCipher 4."""

_RAW: Final = Pattern(r"[0-9A-Fa-f]{64}")


class Key:
    """What opens an encrypted file: a passphrase, or the 256 bits themselves as 64 hexadecimal digits."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._derived: dict[bytes, bytes] = {}

    def derived(self, salt: bytes) -> bytes:
        """The 32 bytes that open the file of that salt. A passphrase takes a third of a second the first time."""
        if _RAW.fullmatch(self._secret):
            return bytes.fromhex(self._secret)
        if salt not in self._derived:
            self._derived[salt] = hashlib.pbkdf2_hmac("sha512", self._secret.encode(), salt, ITERATIONS, 32)
        return self._derived[salt]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __repr__(self) -> str:
        return "Key(...)"


async def find(config: EncryptionConfig, patience: float = COMMAND_SECONDS) -> Key | None:
    """The key that `config` names; None where it names none. `patience` is how many seconds a command may take.

    Raises:
        ConfigError: there is no key where it should be.
    """
    if config.key_env:
        return _key(config.key.reveal(), f"the variable {config.key_env}, which encryption.key_env names,")
    if config.key_command:
        return _key(await _printed(config.key_command, patience), "what encryption.key_command prints")
    if config.keyring:
        return _key(await anyio.to_thread.run_sync(partial(_kept, config.keyring)), "the key in the keyring")
    return None


def _key(secret: str, source: str) -> Key:
    if not secret.strip():
        raise ConfigError(f"{source} is empty or not set; put the key of the database there")
    return Key(secret)


async def _printed(command: str, patience: float) -> str:
    """The first line that a command prints. Its own messages are thrown away: they may hold the key."""
    # Windows has no argument lists, but command lines that every program divides itself.
    arguments = command if os.name == "nt" else _divided(command)
    try:
        with anyio.fail_after(patience):
            done = await anyio.run_process(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except TimeoutError as error:
        raise ConfigError(f"encryption.key_command took more than {patience:g} s; run it by hand") from error
    except OSError as error:
        raise ConfigError(f"encryption.key_command cannot be run ({error.strerror}); name it by its path") from error
    if done.returncode:
        raise ConfigError(f"encryption.key_command failed with exit code {done.returncode}; run it by hand")
    try:
        return done.stdout.split(b"\n", 1)[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise ConfigError("encryption.key_command prints no UTF-8; a binary key goes as 64 hex digits") from None


def _divided(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"encryption.key_command cannot be divided into arguments ({error})") from error


def _kept(entry: str) -> str:
    """The password of an entry of the system's keyring."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise ConfigError("encryption.keyring needs a package: pip install 'mcp-memory[keyring]'") from error
    service, _, user = entry.partition("/")
    try:
        secret = keyring.get_password(service, user)
    except KeyringError as error:
        raise ConfigError(f"the system's keyring cannot be read ({type(error).__name__}); unlock it") from error
    if secret is None:
        raise ConfigError(f"the keyring has no entry {entry}; make one: keyring set {service} {user}")
    return secret
