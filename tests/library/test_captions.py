"""Captions as they lie beside pictures: own files, COCO, ShareGPT4V, and broken ones."""

import json
from pathlib import Path

import pytest


def reasons(report) -> dict[str, str]:
    return {Path(skipped.path).name: skipped.reason for skipped in report.skipped}


def test_source_and_licence_are_kept(library, only) -> None:
    folder = only("a.png")
    entry = {"caption": "a cat", "source": "https://example.org/a", "licence": "CC0"}
    (folder / "a.json").write_text(json.dumps(entry))
    assert library.add([folder]).added == 1
    [hit] = library.search("cat")
    assert (hit.caption, hit.source, hit.licence) == ("a cat", "https://example.org/a", "CC0")
    assert library.stats().licences == {"CC0": 1}


def test_the_words_of_a_text_with_the_licence_of_an_object(library, only) -> None:
    folder = only("a.png")
    (folder / "a.json").write_text('{"license": "CC BY 4.0"}')
    (folder / "a.txt").write_text("\ufeffa cat\n  that looks\n", encoding="utf-8")
    library.add([folder / "a.png"])
    [hit] = library.search("cat")
    assert (hit.caption, hit.licence) == ("a cat that looks", "CC BY 4.0")


COCO = {
    "images": [
        {"id": 7, "file_name": "one.png", "license": 4, "coco_url": "http://example.org/7"},
        {"id": 9, "file_name": "gone.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "A cat."},
        {"id": 2, "image_id": 7, "caption": "An animal with stripes."},
        {"id": 3, "image_id": 9, "caption": "Nothing."},
    ],
    "licenses": [{"id": 4, "name": "Attribution License", "url": "http://example.org/by"}],
}


def test_coco(library, only) -> None:
    folder = only("train2017/one.png")
    (folder / "annotations").mkdir()
    (folder / "annotations" / "captions_train2017.json").write_text(json.dumps(COCO))
    report = library.add([folder])
    assert report.added == 1
    assert "1 of its 2 captions fit no picture" in reasons(report)["captions_train2017.json"]
    [hit] = library.search("stripes")
    assert hit.caption == "A cat. An animal with stripes."
    assert (hit.source, hit.licence) == ("http://example.org/7", "Attribution License")


SHARE = [
    {
        "id": "1",
        "image": "coco/train2017/one.png",
        "conversations": [
            {"from": "human", "value": "What is it?\n<image>"},
            {"from": "gpt", "value": "In the heart of the picture, a cat."},
            {"from": "human", "value": "Sure?"},
            {"from": "gpt", "value": "Yes."},
        ],
    },
    {"id": "2", "conversations": [{"from": "gpt", "value": "Talk without a picture."}]},
]


def test_sharegpt4v_means_the_picture_whose_path_ends_most_like_it(library, only) -> None:
    folder = only("data/coco/train2017/one.png")
    only("data/sam/one.png", of="moon.png")
    (folder / "data" / "sam" / "one.txt").write_text("the moon")
    (folder / "share.json").write_text(json.dumps(SHARE))
    report = library.add([folder])
    assert (report.added, report.skipped) == (2, [])
    assert library.search("heart")[0].caption == "In the heart of the picture, a cat."
    assert library.search("moon")[0].caption == "the moon"


def test_a_caption_that_two_pictures_could_have_is_given_to_none(library, only) -> None:
    folder = only("x/one.png", "y/one.png")
    (folder / "share.json").write_text(json.dumps(SHARE))
    report = library.add([folder])
    assert report.added == 0
    assert "fit no picture here, or two" in reasons(report)["share.json"]
    assert "no caption" in reasons(report)["one.png"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"{", "no JSON"),
        ("a.json", b"[1]", "no object"),
        ("a.json", b'{"caption": 3}', "3 is no text"),
        ("a.json", b'{"caption": ["x", null]}', "no text"),
        ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("a.txt", b"x" * 70_000, "over 64 KiB"),
        ("a.txt", b"  \n", "no caption"),
    ],
)
def test_a_bad_caption_skips_its_picture(library, only, name, content, words) -> None:
    folder = only("a.png")
    (folder / name).write_bytes(content)
    report = library.add([folder])
    assert report.added == 0 and words in reasons(report)["a.png"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ('{"a": 1}', "neither"),
        ("[]", "neither"),
        ('{"images": [{"id": 1}], "annotations": []}', "file_name"),
        ('{"images": 1, "annotations": []}', "without what its layout needs"),
        ('[{"image": "a.png", "conversations": [{"from": "gpt"}]}]', "value"),
        ('[{"image": 3, "conversations": []}]', "3"),
    ],
)
def test_a_bad_file_of_many_captions_is_told(library, only, content, words) -> None:
    folder = only("a.png")
    (folder / "a.txt").write_text("a cat")
    (folder / "many.json").write_text(content)
    report = library.add([folder])
    assert report.added == 1 and words in reasons(report)["many.json"]


def test_a_link_turns_no_other_file_into_a_caption(library, only, tmp_path) -> None:
    folder = only("a.png")
    (tmp_path / "secret").write_text("the key")
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    report = library.add([folder])
    assert report.added == 0 and "is a link" in reasons(report)["a.png"]
