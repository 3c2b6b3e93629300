"""`mcp-memory completion`: what a shell must be told to complete commands, options, ids, topics and users."""

import click
from click.shell_completion import get_completion_class

from mcp_memory.errors import InvalidInput

_PROGRAM = "mcp-memory"
_VARIABLE = "_MCP_MEMORY_COMPLETE"


_HOW = """\b
bash: eval "$(mcp-memory completion bash)"       in ~/.bashrc
zsh:  eval "$(mcp-memory completion zsh)"        in ~/.zshrc
fish: mcp-memory completion fish > ~/.config/fish/completions/mcp-memory.fish"""


@click.command(epilog=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes commands, options, ids, topics and users in SHELL."""
    made = get_completion_class(shell)
    if made is None:
        raise InvalidInput(f"no completion is known for {shell}; known: bash, zsh, fish")
    template = made(ctx.find_root().command, {}, _PROGRAM, _VARIABLE)
    click.echo(template.source_template % template.source_vars())
