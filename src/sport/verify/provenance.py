"""Where an answer comes from: a data-flow reading of a candidate's code, without running it.

Statements are read once, in order; a variable carries the tools, numbers, strings and operations
that its value was made of. Branches are not told apart and loops are read once: enough to see
whether an answer rests on what tools returned or on a number that the model wrote down.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sport.evals.answers import numbers_in
from sport.verify.evidence import key
from sport.verify.literals import callee, numbers_of_literal, parse


@dataclass(frozen=True)
class Origin:
    """What a value was made of.

    Attributes:
        calls: The tool calls behind it: (step, tool).
        numbers: Number literals that enter it as values; indices and digits are structure.
        strings: String literals that enter it, such as a pattern to find a row by.
        operations: Names of the arithmetic behind it: ``Add``, ``Sub``, …, ``sum``, and
            ``characters`` where the length of a text was taken.
        added: Number literals that are added to, or subtracted from, what a tool returned.
        raw: Whether it is a tool's result itself, with nothing done to it.
    """

    calls: frozenset[tuple[int, str]] = frozenset()
    numbers: frozenset[float] = frozenset()
    strings: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    added: frozenset[float] = frozenset()
    raw: bool = False

    def __or__(self, other: Origin) -> Origin:
        if other is NOWHERE:
            return self if not self.raw else _cooked(self)
        return Origin(
            self.calls | other.calls,
            self.numbers | other.numbers,
            self.strings | other.strings,
            self.operations | other.operations,
            self.added | other.added,
        )

    def having(self, *operations: str) -> Origin:
        """With further operations."""
        further = self.operations.union(operations)
        return Origin(self.calls, self.numbers, self.strings, further, self.added)

    def combined(self, operator: str, other: Origin) -> Origin:
        """With another value, by an operator of Python's syntax tree, such as ``Add``."""
        made = (self | other).having(operator)
        if operator not in ("Add", "Sub") or bool(self.calls) == bool(other.calls):
            return made
        written = other.numbers if self.calls else self.numbers
        return replace(made, added=made.added | written)

    def as_structure(self) -> Origin:
        """As an index or a pattern: its numbers are not values."""
        return Origin(self.calls, frozenset(), self.strings, self.operations, self.added)


NOWHERE = Origin()


def _cooked(origin: Origin) -> Origin:
    return replace(origin, raw=False)


@dataclass
class Reader:
    """Reads the codes of a trajectory in order and remembers what its variables are made of.

    Attributes:
        tools: Names of the tools, and for each whether it returns text.
        names: What is known of each variable and function.
        answer: Origin of the last ``final_answer``; ``None`` if there is none.
    """

    tools: Mapping[str, bool]
    names: dict[str, Origin] = field(default_factory=dict)
    answer: Origin | None = None
    step: int = 0

    def read(self, code: str, step: int) -> None:
        """Reads the code of a step; a code too deep to follow teaches nothing."""
        tree = parse(code)
        if tree is None:
            return
        self.step = step
        try:
            self._block(tree.body, NOWHERE)
        except RecursionError:
            self.answer = None

    def fork(self) -> Reader:
        """A reader that goes on from here by itself."""
        return Reader(self.tools, dict(self.names))

    # Statements. `test` is what the conditions around a statement are made of.

    def _block(self, body: Iterable[ast.stmt], test: Origin) -> None:
        for statement in body:
            self._statement(statement, test)

    def _statement(self, node: ast.stmt, test: Origin) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                made = self._under(self._value(value), test)
                for target in targets:
                    self._bind(target, made)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(target, self._under(self._value(value), test))
            case ast.AugAssign(target=target, op=op, value=value):
                made = self._value(target).combined(type(op).__name__, self._value(value))
                self._bind(target, self._under(made, test))
            case ast.For(target=target, iter=source, body=body, orelse=orelse):
                self._bind(target, _cooked(self._value(source)))
                self._block([*body, *orelse], test)
            case (
                ast.If(test=condition, body=body, orelse=orelse)
                | ast.While(test=condition, body=body, orelse=orelse)
            ):
                self._block([*body, *orelse], test | self._value(condition).as_structure())
            case ast.FunctionDef(name=name, body=body):
                self._function(name, body)
            case ast.Return(value=ast.expr() as value):
                self.names["return"] = self.names.get("return", NOWHERE) | self._value(value)
            case _:
                self._other(node, test)

    def _other(self, node: ast.stmt, test: Origin) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.stmt():
                    self._statement(child, test)
                case ast.ExceptHandler(body=body):
                    self._block(body, test)
                case ast.withitem(context_expr=source, optional_vars=ast.expr() as target):
                    self._bind(target, self._value(source))
                case ast.expr():
                    self._value(child)

    def _function(self, name: str, body: Iterable[ast.stmt]) -> None:
        inner = self.fork()
        inner.step = self.step
        inner.names.pop("return", None)
        inner._block(body, NOWHERE)
        self.names[name] = inner.names.get("return", NOWHERE)

    @staticmethod
    def _under(made: Origin, test: Origin) -> Origin:
        return made if test is NOWHERE else made | Origin(strings=test.strings)

    def _bind(self, target: ast.expr, made: Origin) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = made
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._bind(part, _cooked(made))
            case ast.Starred(value=inner):
                self._bind(inner, made)
            case ast.Subscript(value=ast.Name(id=name)) | ast.Attribute(value=ast.Name(id=name)):
                self.names[name] = self.names.get(name, NOWHERE) | made

    # Expressions.

    def _value(self, node: ast.expr) -> Origin:
        match node:
            case ast.Name(id=name):
                return self.names.get(name, NOWHERE)
            case ast.Constant(value=value):
                return _constant(value)
            case ast.Call():
                return self._call(node)
            case ast.BinOp(left=left, op=op, right=right):
                return self._value(left).combined(type(op).__name__, self._value(right))
            case ast.UnaryOp(operand=inner):
                return self._value(inner)
            case ast.Subscript(value=value, slice=index):
                return self._value(value) | self._value(index).as_structure()
            case ast.Compare():
                return self._children(node).as_structure()
            case ast.NamedExpr(target=target, value=value):
                made = self._value(value)
                self._bind(target, made)
                return made
            case ast.JoinedStr(values=values):
                return self._join(v for v in values)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case _:
                return self._children(node)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> Origin:
        made = NOWHERE
        for part in node.generators:
            source = self._value(part.iter)
            self._bind(part.target, _cooked(source))
            made = made | source | self._join(part.ifs).as_structure()
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return made | self._join(parts)

    def _call(self, node: ast.Call) -> Origin:
        name = callee(node)
        values = [*node.args, *(k.value for k in node.keywords)]
        if name == "final_answer":
            self.answer = self._join(values)
            return NOWHERE
        if name in self.tools:
            self._join(values)
            return Origin(calls=frozenset({(self.step, name)}), raw=True)
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, values)
        if name == "round":
            return self._join(values[:1]) | self._join(values[1:]).as_structure()
        made = self._join(values)
        if name == "len" and len(values) == 1:
            return _length(self._value(values[0]), self.tools)
        if name in ("sum", "max", "min", "abs"):
            return made.having(name)
        if name in ("float", "int", "Decimal", "str", "print"):
            return _parsed(made)
        return made | self.names.get(name, NOWHERE)

    def _method(self, function: ast.Attribute, values: list[ast.expr]) -> Origin:
        arguments = self._join(values)
        match function:
            case ast.Attribute(attr="append" | "add" | "extend" | "insert" | "update"):
                self._bind(function, arguments)
                return NOWHERE
            case ast.Attribute(value=ast.Name(id="math"), attr=attribute):
                return arguments.having(attribute)
        return self._value(function.value) | arguments.as_structure()

    def _children(self, node: ast.AST) -> Origin:
        return self._join(c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr))

    def _join(self, nodes: Iterable[ast.expr]) -> Origin:
        found = [self._value(n) for n in nodes]
        if len(found) == 1:
            return found[0]
        made = NOWHERE
        for origin in found:
            made = made | origin
        return made


def _constant(value: object) -> Origin:
    if isinstance(value, str):
        return Origin(strings=frozenset({value}))
    return Origin(numbers=numbers_of_literal(value))


def _parsed(made: Origin) -> Origin:
    """A text literal that is turned into a number is a number: ``float("3.50")``."""
    if made.calls:
        return _cooked(made)
    written = frozenset(key(n) for s in made.strings for n in numbers_in(s))
    return replace(made, numbers=made.numbers | written, raw=False)


def _length(made: Origin, tools: Mapping[str, bool]) -> Origin:
    of_text = made.raw and any(tools[name] for _, name in made.calls)
    return made.having("characters") if of_text else _cooked(made)
