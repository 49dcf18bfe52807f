"""A run's preference pairs for other trainers: images included, order kept.

Every pair becomes one example that stands for itself: the history as a chat with its images in
place, and the texts of the chosen and the rejected action.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sport.jsonl import storing, write_whole
from sport.policy.messages import history
from sport.tune.pairs import owners_of
from sport.types import File, Message, PreferencePair, Trajectory

Format = Literal["trl", "llamafactory", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
_IMAGE = "<image>"


@dataclass(frozen=True)
class Example:
    """One pair.

    Attributes:
        pair: Where it comes from.
        prompt: The chat up to the action.
        chosen: Text of the preferred action.
        rejected: Text of the other one.
        reason: Why the verifier preferred it.
    """

    pair: PreferencePair
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    reason: str

    @property
    def images(self) -> tuple[File, ...]:
        """The images of the prompt, in order."""
        return tuple(image for message in self.prompt for image in message.images)


def examples(
    trajectories: Sequence[Trajectory], pairs: Sequence[PreferencePair]
) -> Iterator[Example]:
    """The examples of pairs, in their order."""
    owners = owners_of(trajectories)
    for pair in pairs:
        owner = owners[pair.task_id, pair.round]
        step = owner.steps[pair.step]
        yield Example(
            pair,
            history(owner.opening, owner.steps[: pair.step]),
            step.candidates[pair.chosen].action.text,
            step.candidates[pair.rejected].action.text,
            step.verdict.reason,
        )


def export(
    trajectories: Sequence[Trajectory],
    pairs: Sequence[PreferencePair],
    kind: Format,
    out: Path,
) -> int:
    """Writes the pairs' examples into a folder; returns how many there are.

    ``trl`` is a dataset that `datasets.load_dataset` reads and TRL's `DPOTrainer` takes;
    ``llamafactory`` is its ranking data with a ``dataset_info.json``; ``parquet`` holds origins and
    reasons too.

    Raises:
        StoreError: The folder cannot be written.
    """
    found = list(examples(trajectories, pairs))
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        if kind == "llamafactory":
            _write_llamafactory(found, out)
        else:
            _write_parquet(
                [trl_row(e) | (_origin(e) if kind == "parquet" else {}) for e in found], out
            )
    return len(found)


def trl_row(example: Example) -> dict[str, Any]:
    """An example as conversational preference data with structured contents."""
    return {
        "images": [
            {"bytes": image.path.read_bytes(), "path": image.name} for image in example.images
        ],
        "prompt": [
            {"role": m.role, "content": [*[_part(None)] * len(m.images), _part(m.text)]}
            for m in example.prompt
        ],
        "chosen": [{"role": "assistant", "content": [_part(example.chosen)]}],
        "rejected": [{"role": "assistant", "content": [_part(example.rejected)]}],
    }


def _part(text: str | None) -> dict[str, str | None]:
    return {"type": "image" if text is None else "text", "text": text}


def _origin(example: Example) -> dict[str, Any]:
    pair = example.pair
    return {
        "task_id": pair.task_id,
        "round": pair.round,
        "step": pair.step,
        "chosen_index": pair.chosen,
        "rejected_index": pair.rejected,
        "reason": example.reason,
    }


def _write_parquet(rows: list[dict[str, Any]], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    part = pa.struct([("type", pa.string()), ("text", pa.string())])
    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(part))]))
    fields = [
        ("images", pa.list_(image)),
        *[(name, chat) for name in ("prompt", "chosen", "rejected")],
        ("task_id", pa.string()),
        *[(name, pa.int64()) for name in ("round", "step", "chosen_index", "rejected_index")],
        ("reason", pa.string()),
    ]
    if not rows or "task_id" not in rows[0]:
        fields = fields[:4]
    table = pa.Table.from_pylist(rows, pa.schema(fields, metadata=_features(fields)))
    pq.write_table(table, out / "train.parquet")


def _features(fields: list[tuple[str, Any]]) -> dict[str, str]:
    """What tells `datasets` that the images are images."""
    text = {"dtype": "string", "_type": "Value"}
    part = {"type": text, "text": text}
    chat = {
        "feature": {"role": text, "content": {"feature": part, "_type": "List"}},
        "_type": "List",
    }
    known: dict[str, Any] = {"images": {"feature": {"_type": "Image"}, "_type": "List"}}
    known |= {name: chat for name in ("prompt", "chosen", "rejected")}
    features = {
        name: known.get(
            name, {"dtype": "string" if str(kind) == "string" else "int64", "_type": "Value"}
        )
        for name, kind in fields
    }
    return {"huggingface": json.dumps({"info": {"features": features}})}


def _write_llamafactory(found: list[Example], out: Path) -> None:
    rows = []
    for example in found:
        turns = [
            {"from": _ROLES[m.role], "value": _IMAGE * len(m.images) + _plain(m.text)}
            for m in example.prompt
        ]
        rows.append(
            {
                "conversations": turns,
                "chosen": {"from": "gpt", "value": _plain(example.chosen)},
                "rejected": {"from": "gpt", "value": _plain(example.rejected)},
                "images": [_copied(image, out) for image in example.images],
            }
        )
    columns = {"messages": "conversations"} | {k: k for k in ("chosen", "rejected", "images")}
    info = {
        "file_name": "train.json",
        "ranking": True,
        "formatting": "sharegpt",
        "columns": columns,
    }
    write_whole(out / "train.json", json.dumps(rows, ensure_ascii=False, indent=1))
    write_whole(out / "dataset_info.json", json.dumps({"sport": info}, indent=1))


_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def _plain(text: str) -> str:
    """The text, with what would stand for an image broken up."""
    return text.replace(_IMAGE, "< image>")


def _copied(image: File, out: Path) -> str:
    """Path of a copy of the image, relative to the folder."""
    name = f"images/{image.sha256}.{_EXTENSIONS.get(image.media_type, 'png')}"
    target = out / name
    if not target.is_file():
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(image.path, target)
    return name
