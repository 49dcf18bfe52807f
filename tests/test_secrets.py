"""Secrets of the environment, and what looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sport.secrets import Secrets


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("OPENAI_API_KEY", "abcdefgh", True),
        ("HF_TOKEN", "abcdefgh", True),
        ("DB_PASSWORD", "abcdefgh", True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh", True),
        ("SERVICE_APIKEY", "abcdefgh", True),
        ("MONKEY", "abcdefgh", False),
        ("KEYBOARD", "abcdefgh", False),
        ("AUTHOR", "abcdefgh", False),
        ("A_KEY", "short", False),
        ("SSH_AUTH_SOCK", "/dev/null", False),
        ("MY_NAMED", "abcd", True),
    ],
)
def test_which_variables_are_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hidden: bool
) -> None:
    monkeypatch.setenv(name, f" {value} ")
    shown = Secrets.of_environment(["MY_NAMED"]).hide(f"it is {value}!")
    assert (shown == "it is [key]!") == hidden


def test_a_key_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("swordfish\n")
    monkeypatch.setenv("MINE_FILE", str(tmp_path / "key"))
    secrets = Secrets.of_environment(["MINE", "NOT_SET_AT_ALL"])
    assert secrets.hide("a swordfish") == "a [key]"
    assert "swordfish" not in repr(secrets)


def test_the_longest_first() -> None:
    assert Secrets(["abcd", "abcdefgh"]).hide("abcdefgh abcd") == "[key] [key]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [key]"),
        ("https://me:pass1234@host/x", "https://me:[key]@host/x"),
        ("GET /?api_key=abcd1234&q=tea", "GET /?api_key=[key]&q=tea"),
        ("password: hunter22 was wrong", "password: [key] was wrong"),
        ("key sk-abcdefghij0123456789 is not valid", "key [key] is not valid"),
        ("ghp_abcdefghij0123456789abcd", "[key]"),
        ("no key here: file a.png, size 3", "no key here: file a.png, size 3"),
        ("http://127.0.0.1:8000/v1 refused", "http://127.0.0.1:8000/v1 refused"),
    ],
)
def test_what_looks_like_a_key_in_an_error(text: str, shown: str) -> None:
    assert Secrets().hide_in_error(text) == shown
    assert Secrets().hide(text) == text


def test_an_error_is_short_and_no_secret_is_cut_in_two() -> None:
    secrets = Secrets(["swordfish" * 10])
    for before in (0, 950, 999, 19_950, 19_999):
        told = secrets.hide_in_error("x" * before + "swordfish" * 10)
        assert len(told) <= 1000
        assert "sword" not in told
