"""What smolagents' ``CodeAgent`` is made of here: model, tools, executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from sport.tools.function import Tool
from sport.tools.parameters import Parameter
from sport.types import END_OF_ACTION, File, Message, Outcome, Task

_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}
_ROLES = {"system": "system", "assistant": "assistant", "tool-call": "assistant"}
_MARKDOWN = ("```(?:python|py)", "```")


class Asked(Protocol):
    """Whom the library asks (:class:`sport.agents.smol.Bridge`)."""

    task: Task

    def generate(self, messages: tuple[Message, ...], stops: Sequence[str]) -> str:
        """The text of an action."""
        ...

    def execute(self, code: str) -> Outcome:
        """What came of code."""
        ...


def make_agent(
    asked: Asked, opening: Sequence[Message], tools: Mapping[str, Tool], max_steps: int
) -> tuple[Any, list[Image.Image]]:
    """A ``smolagents.CodeAgent``, and the task's pictures as it takes them.

    Where our prompt has no system part, as for a controller that was trained on its own form, it
    has none there either; else it has the library's.
    """
    import smolagents
    from smolagents.models import ChatMessage, MessageRole

    pictures = [_open(file) for file in asked.task.images]
    files = {id(p): f for p, f in zip(pictures, asked.task.images, strict=True)}

    class PolicyModel(smolagents.Model):
        def generate(
            self,
            messages: list[ChatMessage],
            stop_sequences: list[str] | None = None,
            response_format: dict[str, str] | None = None,
            tools_to_call_from: list[Any] | None = None,
            **unused: Any,
        ) -> ChatMessage:
            said = asked.generate(_messages(messages, files), stop_sequences or ())
            text = said.partition(END_OF_ACTION)[0]
            return ChatMessage(role=MessageRole.ASSISTANT, content=text)

    plain = opening[0].role != "system"
    agent = smolagents.CodeAgent(
        tools=[_tool(tool) for tool in tools.values()],
        model=PolicyModel(model_id="sport"),
        executor=_executor(asked),
        max_steps=max_steps,
        verbosity_level=smolagents.LogLevel.OFF,
        code_block_tags=_MARKDOWN if plain else None,
    )
    if plain:
        agent.prompt_templates["system_prompt"] = ""
    return agent, pictures


def _open(file: File) -> Image.Image:
    with Image.open(file.path) as picture:
        return picture.convert("RGB")


def _messages(messages: Any, files: Mapping[int, File]) -> tuple[Message, ...]:
    """The library's messages as ours; turns of one role that follow each other are one."""
    made: list[Message] = []
    for message in messages:
        role: Any = _ROLES.get(str(message.role.value), "user")
        parts = message.content or []
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        text = "\n".join(p["text"] for p in parts if p["type"] == "text")
        shown = tuple(files[id(p["image"])] for p in parts if p["type"] == "image")
        if made and made[-1].role == role:
            before = made.pop()
            text = f"{before.text}\n{text}" if text else before.text
            shown = before.images + shown
        if text or shown:
            made.append(Message(role=role, text=text, images=shown))
    return tuple(made)


def _tool(tool: Tool) -> Any:
    import smolagents

    class Listed(smolagents.Tool):  # type: ignore[no-untyped-call]
        """A tool as the library's prompt lists it; its calls reach ours through the sandbox."""

        name = tool.name
        description = tool.description or tool.signature
        inputs = {p.name: _input(p) for p in tool.parameters}
        output_type = "any"
        skip_forward_signature_validation = True

        def forward(self, **arguments: Any) -> Any:
            raise NotImplementedError("tools are called in the sandbox")

    return Listed()  # type: ignore[no-untyped-call]


def _input(parameter: Parameter) -> dict[str, Any]:
    kind = _TYPES.get(parameter.type.partition("[")[0], "any")
    found = {"type": kind, "description": f"of type {parameter.type}"}
    return found if parameter.required else {**found, "nullable": True}


def _executor(asked: Asked) -> Any:
    from smolagents.local_python_executor import CodeOutput, PythonExecutor

    class SandboxExecutor(PythonExecutor):
        """Runs code in our sandbox, where the tools are already."""

        def __init__(self) -> None:
            self.state: dict[str, Any] = {}

        def send_tools(self, tools: Any) -> None:
            """The sandbox has them."""

        def send_variables(self, variables: Any) -> None:
            """None are sent: pictures are files of the workspace."""

        def __call__(self, code_action: str) -> CodeOutput:
            outcome = asked.execute(code_action)
            self.state["_print_outputs"] = outcome.stdout
            if outcome.status != "ok":
                error = outcome.error
                what = f"{error.type}: {error.message}" if error else outcome.status
                raise RuntimeError(f"Code execution failed: {what}")
            final = outcome.final_answer
            value = outcome.value if final is None else final.value
            return CodeOutput(value, outcome.stdout, final is not None)

    return SandboxExecutor()
