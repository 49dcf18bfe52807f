"""What a tool is, how a function becomes one, and how a recipe's tools are found."""

from sport.tools.function import Function, Parameter, Tool, as_tool, tool
from sport.tools.load import ToolNotFound, load_tools

__all__ = ["Function", "Parameter", "Tool", "ToolNotFound", "as_tool", "load_tools", "tool"]
