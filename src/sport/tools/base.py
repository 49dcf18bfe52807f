"""What a tool is, how a function becomes one, and how a recipe's tools are found."""

from sport.tools.function import Tool, as_tool, tool
from sport.tools.load import ToolNotFound, load_tools
from sport.tools.parameters import Function, Parameter

__all__ = ["Function", "Parameter", "Tool", "ToolNotFound", "as_tool", "load_tools", "tool"]
