"""Messages to token ids and pixels: one way for sampling and for tuning.

A chat is cut into segments: what the model reads (the template, and the texts of system and user
turns) and the actions, whose text is inserted verbatim. Every segment is tokenised by itself, so
the encoding of a history is a token prefix of whatever follows it, and an action has the same
tokens as a target as it had as history.

Nothing is ever truncated, and no image is ever dropped: where the template, the processor and the
messages disagree on the images, encoding raises (D9). Texts are untrusted: a special token written
out in one (``<image>``, say) is broken up by a space, so that it stays text.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sport.policy.base import ContextFull
from sport.policy.template import EncodingError, Shape, skeleton
from sport.types import END_OF_ACTION, File, Message

CACHE_BYTES = 256 * 2**20
"""How many bytes of encoded segments, pictures included, are kept for each processor."""


@dataclass(frozen=True)
class Encoded:
    """A chat as a model takes it.

    Attributes:
        ids: Token ids, images expanded.
        aligned: Further inputs with one integer a token, such as ``mm_token_type_ids``.
        vision: Inputs whose first dimension runs over images or patches, such as
            ``pixel_values``, in the order of the images.
        pictures: Hashes of the images, in their order.
    """

    ids: list[int]
    aligned: dict[str, list[int]] = field(default_factory=dict)
    vision: dict[str, Tensor] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.pictures)

    def plus(self, ids: Sequence[int]) -> Encoded:
        """This chat, continued by the tokens of an action."""
        aligned = {k: [*v, *[0] * len(ids)] for k, v in self.aligned.items()}
        return Encoded([*self.ids, *ids], aligned, self.vision, self.pictures)


def encode(
    processor: Any,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    limit: int | None = None,
) -> Encoded:
    """Encodes a chat.

    Args:
        processor: A transformers processor with a chat template.
        messages: The chat.
        add_generation_prompt: Whether it ends with what opens the assistant's turn.
        limit: The longest encoding allowed, in tokens.

    Raises:
        ContextFull: The chat is longer than ``limit``.
        EncodingError: An image would be lost, or the template loses a text.
    """
    encoded = _encoder(processor).encode(processor, messages, add_generation_prompt)
    if limit is not None and len(encoded.ids) > limit:
        raise ContextFull(f"the chat has {len(encoded.ids)} tokens, and {limit} fit")
    return encoded


def action_ids(processor: Any, text: str) -> list[int]:
    """Token ids of an action, as history and as target; the end marker counts."""
    return _encoder(processor).action(text)


def special_ids(processor: Any) -> list[int]:
    """Ids of the tokens that no text can contain: images, turns, padding; ascending."""
    tokenizer = processor.tokenizer
    ids = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids |= {*tokenizer.all_special_ids, *_image_ids(processor)}
    return sorted(i for i in ids if END_OF_ACTION not in tokenizer.convert_ids_to_tokens(i))


class _Encoder:
    """Encodes for one processor, and remembers segments with their processed pictures."""

    def __init__(self, processor: Any) -> None:
        self._tokenizer = processor.tokenizer
        special = self._tokenizer.convert_ids_to_tokens(special_ids(processor))
        self._special = re.compile("|".join(re.escape(s) for s in special if len(s) > 1) or "(?!)")
        self._skeletons: dict[tuple[str, Shape, bool], list[str]] = {}
        self._segments: OrderedDict[tuple[str, tuple[str, ...], bool], Encoded] = OrderedDict()
        self._bytes = 0

    def action(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(self._plain(text), add_special_tokens=False)["input_ids"]
        return ids

    def encode(self, processor: Any, messages: Sequence[Message], generation: bool) -> Encoded:
        shape = tuple((m.role, len(m.images)) for m in messages)
        key = (str(processor.chat_template), shape, generation)
        if key not in self._skeletons:
            self._skeletons[key] = skeleton(processor, shape, generation)
        text, *rest = self._skeletons[key]
        parts: list[Encoded] = []
        images: list[File] = []
        for message, after in zip(messages, rest, strict=True):
            images.extend(message.images)
            if message.role == "assistant":
                parts.append(self._segment(processor, text, images, first=not parts))
                parts.append(Encoded(self.action(message.text)))
                text, images = after, []
            else:
                text += self._plain(message.text) + after
        if text:
            parts.append(self._segment(processor, text, images, first=not parts))
        return _join(parts)

    def _plain(self, text: str) -> str:
        """The text, with special tokens that are written out in it broken up."""
        return self._special.sub(lambda m: f"{m[0][0]} {m[0][1:]}", text)

    def _segment(self, processor: Any, text: str, images: list[File], first: bool) -> Encoded:
        key = (text, tuple(i.sha256 for i in images), first)
        found = self._segments.get(key)
        if found is not None:
            self._segments.move_to_end(key)
            return found
        segment = _encode_segment(processor, text, images, first)
        self._segments[key] = segment
        self._bytes += _size(segment)
        while self._bytes > CACHE_BYTES:
            self._bytes -= _size(self._segments.popitem(last=False)[1])
        return segment


_encoders: WeakKeyDictionary[Any, _Encoder] = WeakKeyDictionary()


def _encoder(processor: Any) -> _Encoder:
    if processor not in _encoders:
        _encoders[processor] = _Encoder(processor)
    return _encoders[processor]


def _encode_segment(processor: Any, text: str, images: list[File], first: bool) -> Encoded:
    token = getattr(processor, "image_token", "<image>")
    if text.count(token) != len(images):
        raise EncodingError(
            f"the chat template wrote {text.count(token)} image tokens for {len(images)} images: "
            "images would be lost"
        )
    bos = processor.tokenizer.bos_token
    begin = first and not (bos and text.startswith(bos))
    if not images:
        return Encoded(processor.tokenizer(text, add_special_tokens=begin)["input_ids"])
    output = processor(
        text=[text],
        images=[_open(i) for i in images],
        return_tensors="pt",
        add_special_tokens=begin,
    )
    ids = output.pop("input_ids")
    output.pop("attention_mask", None)
    aligned = {k: v[0].tolist() for k, v in output.items() if v.shape == ids.shape}
    vision = {k: v for k, v in output.items() if k not in aligned}
    segment = Encoded(ids[0].tolist(), aligned, vision, tuple(i.sha256 for i in images))
    _assert_pixels(processor, segment)
    return segment


def _assert_pixels(processor: Any, segment: Encoded) -> None:
    """Raises unless every image has tokens, and pixels of its own (D9)."""
    wanted = set(_image_ids(processor))
    tokens = sum(i in wanted for i in segment.ids)
    counted = segment.vision.get("image_grid_thw", segment.vision.get("pixel_values"))
    pixels = 0 if counted is None else len(counted)
    if tokens < segment.images or pixels < segment.images:
        raise EncodingError(
            f"of {segment.images} images, {pixels} reached the pixels and {tokens} image tokens "
            "the text: images would be lost"
        )


def _image_ids(processor: Any) -> list[int]:
    if not hasattr(processor, "image_token"):
        return []
    one = getattr(processor, "image_token_id", None)
    if one is None:
        one = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    return [one]


def _open(file: File) -> Image.Image:
    try:
        with Image.open(file.path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise EncodingError(f"{file.name}: its picture {file.path} cannot be read") from error


def _join(parts: Sequence[Encoded]) -> Encoded:
    names = {k for p in parts for k in p.aligned}
    aligned = {k: [i for p in parts for i in p.aligned.get(k, [0] * len(p.ids))] for k in names}
    return Encoded(
        [i for p in parts for i in p.ids],
        aligned,
        join_vision([p.vision for p in parts]),
        tuple(sha for p in parts for sha in p.pictures),
    )


def join_vision(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenates the vision inputs of several chats, in order.

    Further dimensions (the patches of an image, say) are padded with zeros to the largest.
    """
    parts = [p for p in parts if p]
    if len(parts) <= 1:
        return dict(parts[0]) if parts else {}
    joined = {}
    for name in parts[0]:
        tensors = [p[name] for p in parts]
        largest = [max(sizes) for sizes in zip(*(t.shape[1:] for t in tensors), strict=True)]
        joined[name] = torch.cat([_pad(t, largest) for t in tensors])
    return joined


def _pad(tensor: Tensor, sizes: list[int]) -> Tensor:
    lacking = [want - have for want, have in zip(sizes, tensor.shape[1:], strict=True)]
    if not any(lacking):
        return tensor
    return F.pad(tensor, [p for lack in reversed(lacking) for p in (0, lack)])


def _size(segment: Encoded) -> int:
    return 100 * len(segment.ids) + sum(t.nbytes for t in segment.vision.values())
