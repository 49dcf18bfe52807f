"""Speech to text by Whisper (Radford et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sport.tools.weights import OnFirstCall, model_kind, needs

KINDS = {"whisper": "openai/whisper-tiny"}
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg"})
"""Recordings that can be listened to."""
_RATE, _WINDOW_S, _LONGEST_S = 16_000, 30, 3600


def transcriber(tool: str, model: Path, device: str = "cpu") -> Callable[[Path], str]:
    """What writes down the speech of a recording.

    Raises:
        ToolNotFound: The folder holds no Whisper model, or a package is missing.
    """
    needs(tool, "soundfile", "documents")
    model_kind(tool, model, KINDS)
    loaded = OnFirstCall(lambda: _load(model, device))

    def transcribe(path: Path) -> str:
        sound = read_sound(path)
        texts = []
        with loaded.use() as (processor, network), torch.inference_mode():
            for start in range(0, len(sound), _RATE * _WINDOW_S):
                window = sound[start : start + _RATE * _WINDOW_S]
                inputs = processor(window, sampling_rate=_RATE, return_tensors="pt").to(device)
                written = network.generate(inputs.input_features)
                texts += processor.batch_decode(written, skip_special_tokens=True)
        return " ".join(text.strip() for text in texts)

    return transcribe


def _load(model: Path, device: str) -> tuple[Any, Any]:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    network: Any = WhisperForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
    return WhisperProcessor.from_pretrained(model), network.to(device).eval()


def read_sound(path: Path) -> NDArray[np.float32]:
    """A recording as Whisper hears it: one channel, 16 kHz.

    Raises:
        ValueError: It is no recording, or longer than an hour.
    """
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            if file.frames > _LONGEST_S * file.samplerate:
                raise ValueError(f"{path.name!r} is longer than an hour: cut it first")
            rate, sound = file.samplerate, file.read(dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path.name!r} cannot be listened to: {error}") from None
    if rate == _RATE or not len(sound):
        return np.asarray(sound, np.float32)
    # Band-limited: the spectrum is cut, or continued with silence, at half of the new rate.
    length = max(1, round(len(sound) * _RATE / rate))
    spectrum = np.fft.rfft(sound)[: length // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, length) * (length / len(sound)), np.float32)
