"""What a recipe says of its tools: ``[tool.NAME]`` and ``[mcp.NAME]``."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ToolSettings(BaseModel):
    """What is declared of one tool, in place of what it says itself.

    Further keys are options of a built-in tool, such as the folder of its model.
    """

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    timeout_s: float | None = Field(None, gt=0)
    """How long a call may take, in seconds."""
    concurrency: int | None = Field(None, ge=1)
    """Calls that may run at once."""
    cost: float | None = Field(None, ge=0)
    """What a call costs, in the currency of the budget."""
    deterministic: bool | None = None
    """Whether equal arguments and files give equal results, which are then computed once."""
    side_effects: bool | None = None
    """Whether a call changes something outside of the workspace."""
    version: str | None = None
    """Changes with what it returns: results of another version are not used again."""

    @property
    def declared(self) -> dict[str, Any]:
        """The properties that are given."""
        return self.model_dump(include=set(type(self).model_fields), exclude_none=True)

    @property
    def options(self) -> dict[str, Any]:
        """The options that only the tool itself knows."""
        return dict(self.model_extra or {})

    @property
    def key_names(self) -> set[str]:
        """Names of the variables with the keys of the servers that the tool itself asks."""
        places = (self.options, self.options.get("server"))
        named = (place.get("key_env") for place in places if isinstance(place, dict))
        return {name for name in named if isinstance(name, str)}


class McpSettings(BaseModel):
    """An MCP server whose tools are used: one that is started, or one at an address."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    command: tuple[str, ...] | None = Field(None, min_length=1)
    """Command of a server that is started and spoken to over its standard input and output."""
    url: str | None = Field(None, pattern=r"^https?://")
    """Address of a server that is spoken to over streamable HTTP."""
    env: tuple[str, ...] = ()
    """Names of the variables of the environment that the command is given; values never stand in
    a recipe."""
    key_env: str | None = None
    """Name of the variable with the key that `url` wants."""
    start_s: float = Field(30.0, gt=0)
    """How long it may take to answer at the start, in seconds."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("an MCP server has either a command or a url")
        if self.env and self.command is None:
            raise ValueError("env is for a server with a command; a url takes key_env")
        if self.key_env is not None and self.url is None:
            raise ValueError("key_env is for a server with a url; a command takes env")
        bad = [name for name in self.env if "=" in name]
        if bad:
            raise ValueError(
                f"env holds names of variables, not values: write {bad[0].partition('=')[0]!r}"
            )
        return self
