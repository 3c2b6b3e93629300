"""`mcp-memory` and its commands."""

import io
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Final

import click

from mcp_memory.calm import calm
from mcp_memory.cli.group import HIDDEN, Commands, Entry
from mcp_memory.cli.own import own_command

EXPLAINED = """A long-term memory for any MCP client.

    1. Connect your client:   {command} install CLIENT
         claude-desktop, claude-code, cursor, vscode, windsurf, zed, codex, gemini, copilot, cline, opencode or goose;
         install --all takes those that are here, and install --print CLIENT only shows what belongs where.
    2. Start the client anew.   What is connected: {command} clients
    See it work: mcp-memory demo    All commands: mcp-memory --help"""

EPILOG: Final = """\b
Exit codes: 0 done; 1 not found, in conflict, or not complete; 2 wrong usage, or
a text, setting or file that cannot be used; 130 after Ctrl-C. A pipe gets plain text, or
JSON with --json; NO_COLOR and FORCE_COLOR are heeded. Completion of commands,
ids and topics: mcp-memory completion --help"""

COMMANDS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Clients": {
        "install": Entry("install", "install", "Connect a client."),
        "uninstall": Entry("install", "uninstall", "Take this server out of a client again."),
        "clients": Entry("install", "clients", "List the clients and what connects them."),
        "doctor": Entry("doctor", "doctor_command", "Check the file, settings and clients."),
    },
    "Memories": {
        "add": Entry("writing", "add", "Remember a text."),
        "search": Entry("reading", "search", "Print the memories that answer QUERY best."),
        "list": Entry("reading", "list_", "List memories, newest first."),
        "show": Entry("reading", "show", "Show one memory, by its ID or key."),
        "edit": Entry("writing", "edit", "Change a memory in your editor."),
        "delete": Entry("writing", "delete", "Delete memories; undo brings them back."),
        "profile": Entry("profile", "profile", "Print what is known of a user, for a prompt."),
        "stats": Entry("reading", "stats", "Count memories by topic, agent and age."),
        "review": Entry("review", "review", "Decide about memories that wait for approval."),
        "ui": Entry("ui", "ui", "Look through them in your browser."),
        "extract": Entry("conversations", "extract_command", "Turn a transcript into memories."),
        "optimize": Entry("optimizing", "optimize_command", "Merge memories that say the same."),
    },
    "The past": {
        "history": Entry("history", "history", "Show every version of memory ID."),
        "changes": Entry("history", "changes", "List what changed, newest first."),
        "undo": Entry("history", "undo", "Take back CHANGE, or the latest."),
        "restore": Entry("history", "restore", "Give memory ID back what it was at a version."),
        "forget": Entry("forgetting", "forget", "Erase memory ID for good."),
        "forget-user": Entry("forgetting", "forget_user", "Erase everything of USER for good."),
    },
    "The file": {
        "users": Entry("users", "users", "List whose memories there are, or rename a user."),
        "export": Entry("transfer", "export", "Write memories to a file, to keep or take along."),
        "import": Entry("transfer", "import_", "Read memories from a file, also of other systems."),
        "backup": Entry("backups", "backup", "Copy the file while clients use it."),
        "restore-backup": Entry("backups", "restore_backup", "Put a backup in the place of the file."),
        "encrypt": Entry("encryption", "encrypt", "Encrypt the file."),
        "decrypt": Entry("encryption", "decrypt", "Turn the encrypted file into a plain one."),
        "rekey": Entry("encryption", "rekey", "Encrypt the file with another key."),
        "reindex": Entry("memories", "reindex_command", "Give the file other search settings."),
    },
    "This command": {
        "serve": Entry("serving", "serve", "Serve one client over stdio."),
        "demo": Entry("serving", "demo", "Show a real server at work."),
        "completion": Entry("completion", "completion", "Print what completes commands in your shell."),
    },
    HIDDEN: {
        "hook": Entry("hook", "hook", "What a client runs by itself."),
    },
}
"""Every command, with the line that the help shows of it: a new one is a line here."""


@click.group(
    cls=Commands,
    entries=COMMANDS,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(None, "-V", "--version", package_name="mcp-memory")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A long-term memory for any MCP client. Without a command: serves on a pipe, explains itself on a terminal."""
    calm(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may not know a memory's script
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty():
        click.echo(EXPLAINED.format(command=shlex.join(own_command())))
    else:
        ctx.invoke(main.loaded("serve"))
