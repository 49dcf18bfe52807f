"""What a user sees when something goes wrong: one clear message, and the rest in the log."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from sport.jsonl import explain
from sport.remote.ledger import BudgetSpent

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

log = logging.getLogger("sport")
log.addHandler(logging.NullHandler())

SPENT = 3
"""Exit code where the budget is spent."""

stdout = Console(highlight=False)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def guarded(again: str = "", log_file: Path | None = None) -> Iterator[None]:
    """Ends the program with one message where the block fails or is interrupted.

    Args:
        again: The command that goes on after an interruption.
        log_file: Where the traceback can be read.
    """
    try:
        yield
    except KeyboardInterrupt:
        hint = f" Everything that was finished is kept; go on with: {again}" if again else ""
        stderr.print(f"Stopped.{hint}", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except BudgetSpent as spent:
        stderr.print(f"Stopped. {spent}", markup=False)
        raise typer.Exit(SPENT) from None
    except Exception as error:
        stderr.print(f"Error: {_message(error, log_file)}", markup=False)
        raise typer.Exit(1) from None


def _message(error: Exception, log_file: Path | None) -> str:
    """One clear message; whatever is not foreseen gets its traceback into a file."""
    log.error("%s", "".join(traceback.format_exception(error)))
    if type(error).__module__.startswith("sport."):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return explain(error)
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return "the disk is full. Free some space and start the same command again."
    return f"{type(error).__name__}: {error}\nThe traceback is in {_traceback(error, log_file)}."


def _traceback(error: Exception, log_file: Path | None) -> Path:
    if log_file is not None and log_file.is_file():
        return log_file
    with tempfile.NamedTemporaryFile(
        "w", prefix="sport-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return Path(file.name)
