"""`mcp-memory encrypt`, `decrypt` and `rekey`: another form of the same file. Nothing here imports the SDK."""

from pathlib import Path

import anyio
import click

from mcp_memory import config, keys
from mcp_memory.app import rewrite_store
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.errors import ConfigError
from mcp_memory.keys import Key
from mcp_memory.views import encrypted

_NO_KEY = "no key is configured; name one under [encryption] in the settings, see config.example.toml"


@click.command(epilog=EPILOG)
@settings("database", "config")
def encrypt(file: Path | None, database: str | None) -> None:
    """Encrypt the file with the key that [encryption] names.

    Close every client first. A copy is made, compared and put into the file's place in one step; until then nothing
    changes. On Linux and macOS the bytes of the old file are overwritten. What a solid-state disk, a snapshot of the
    file system or a backup of the computer keeps of them, and an earlier log, is beyond this command.
    """
    configured = loaded(file, database=database)
    _rewritten(configured, None, _key(configured), "encrypted; every client needs the key from now on")


@click.command(epilog=EPILOG)
@settings("database", "config")
def decrypt(file: Path | None, database: str | None) -> None:
    """Turn the encrypted file into a plain one, in the same way as encrypt.

    Take the key out of the settings afterwards.
    """
    configured = loaded(file, database=database)
    _rewritten(configured, _key(configured), None, "not encrypted any more; take [encryption] out of the settings")


@click.command(epilog=EPILOG)
@settings("database", "config")
@click.option("--new-key-env", metavar="NAME", default="", help="The variable that holds the new key.")
@click.option("--new-key-command", metavar="LINE", default="", help="A command line that prints the new key.")
@click.option("--new-keyring", metavar="S/U", default="", help="The new key's entry in the keyring: service/user.")
def rekey(file: Path | None, database: str | None, new_key_env: str, new_key_command: str, new_keyring: str) -> None:
    """Encrypt the file with another key than the one that [encryption] names, in the same way as encrypt.

    Let [encryption] name the new key afterwards.
    """
    if sum(map(bool, (new_key_env, new_key_command, new_keyring))) != 1:
        raise click.UsageError("name the new key by one of --new-key-env, --new-key-command and --new-keyring")
    if new_keyring and not all(new_keyring.partition("/")):
        raise click.UsageError("--new-keyring is written as service/user, such as mcp-memory/alice")
    configured = loaded(file, database=database)
    old = _key(configured)
    wanted = {"key_env": new_key_env, "key_command": new_key_command, "keyring": new_keyring}
    new = _key(loaded(file, **{f"encryption.{name}": value for name, value in wanted.items()}))
    if new == old:
        raise ConfigError("the new key is the one that the file has; nothing was changed")
    _rewritten(configured, old, new, "encrypted with the new key; let [encryption] name it from now on")


def _key(configured: config.Config) -> Key:
    key = anyio.run(keys.find, configured.encryption)
    if key is None:
        raise ConfigError(_NO_KEY)
    return key


def _rewritten(configured: config.Config, old: Key | None, new: Key | None, became: str) -> None:
    prepare(configured)
    click.echo(encrypted.text(configured.path(), became, rewrite_store(configured, old, new)))
