"""What everything is compared with: an `MCPServer` with one tool, which does nothing and returns ten small hits."""

from typing import Annotated, TypedDict

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent


class SmallHit(TypedDict):
    id: str
    content: str
    score: float


class Found(TypedDict):
    hits: list[SmallHit]


server: MCPServer[None] = MCPServer("empty", log_level="WARNING")


@server.tool()
async def search(query: str) -> Annotated[CallToolResult, Found]:
    """Returns ten hits for any query."""
    hits = [
        SmallHit(id=f"hit{i:09}", content=f"Said that {query} on day {i}"[:100], score=1 - i / 10) for i in range(10)
    ]
    text = "\n".join(f"[{hit['id']}] {hit['content']} · {hit['score']:.2f}" for hit in hits)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content={"hits": hits})


if __name__ == "__main__":
    server.run("stdio")
