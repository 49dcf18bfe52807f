"""Pictures as users have them: each comes in right, or is refused by an exact error."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from sport.blobs import BlobStore
from sport.images import ImageError, ingest, is_picture

FORMATS = ["jpg", "png", "webp", "gif", "tiff", "bmp", "avif"]


@pytest.fixture
def photo() -> Image.Image:
    """400 x 300, with a red corner at the top left, so that a turn or a cut shows."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(
        (np.kron(rng.random((30, 40, 3)), np.ones((10, 10, 1))) * 255).astype("uint8")
    )
    image.paste((255, 0, 0), (0, 0, 40, 40))
    return image


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(image: Image.Image, name: str, **options: Any) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., Image.Image]:
    """Ingests a file and opens what was stored."""

    def run(path: Path, max_pixels: int = 1_000_000) -> Image.Image:
        file = ingest(path, "image_0.png", BlobStore(tmp_path / "blobs"), max_pixels)
        assert (file.name, file.media_type) == ("image_0.png", "image/png")
        image = Image.open(file.path)
        assert (image.format, image.mode) == ("PNG", "RGB")
        return image

    return run


def refused(take: Callable[..., Image.Image], path: Path) -> str:
    with pytest.raises(ImageError) as error:
        take(path)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_comes_in_as_the_same_picture(photo, save, take, suffix: str) -> None:
    image = take(save(photo, f"a.{suffix}"))
    assert image.size == (400, 300)
    assert np.abs(np.asarray(image, int) - np.asarray(photo, int)).mean() < 20


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_picture_is_never_taken_in_part(
    photo, save, take, suffix: str, share: float
) -> None:
    whole = save(photo, f"a.{suffix}")
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    message = refused(take, whole)
    assert "broken or truncated" in message or "not a picture" in message


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_rotation_is_applied(photo, save, take, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to show"
    image = take(save(photo, f"phone.{suffix}", exif=exif))
    assert image.size == (300, 400)
    red, green, _ = image.getpixel((295, 5))
    assert red > 200 and green < 60


def test_metadata_does_not_travel(photo, save, take) -> None:
    exif = Image.Exif()
    exif[0x8825] = {2: (48.0, 8.0, 0.0)}  # where the photograph was taken
    image = take(save(photo, "gps.jpg", exif=exif))
    assert not image.getexif() and not image.info


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03"]
)
def test_broken_metadata_does_not_cost_the_picture(photo, save, take, exif: bytes) -> None:
    assert take(save(photo, "a.jpg", exif=exif)).size == (400, 300)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_rgb(photo, save, take, mode: str) -> None:
    image = take(save(photo.convert(mode), "a.tif"))
    grey = photo if mode not in ("1", "L") else photo.convert("L").convert("RGB")
    error = np.abs(np.asarray(image, int) - np.asarray(grey, int)).mean()
    assert error < (130 if mode == "1" else 25)


def test_transparency_is_laid_over_white(photo, save, take) -> None:
    clear = photo.convert("RGBA")
    clear.putalpha(0)
    assert take(save(clear, "a.png")).getpixel((3, 3)) == (255, 255, 255)
    palette = photo.convert("P")
    corner = palette.getpixel((0, 0))
    assert take(save(palette, "a.gif", transparency=corner)).getpixel((0, 0)) == (255, 255, 255)
    assert take(save(photo, "b.png", transparency=(255, 0, 0))).getpixel((0, 0)) == (255,) * 3


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(save, take, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    image = take(save(Image.fromarray(ramp), f"deep.{suffix}"))
    assert [image.getpixel((x, 2))[0] for x in (0, 255)] == [128, 191]


def test_32_bit_numbers_are_refused(save, take) -> None:
    deep = Image.fromarray(np.zeros((9, 9), np.float32))
    assert "8 or 16 bits" in refused(take, save(deep, "deep.tif"))


def test_a_colour_profile_is_honoured_and_a_broken_one_is_not_fatal(photo, save, take) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A space whose red primary is blue and the other way round.
    swapped = srgb.replace(b"rXYZ", b"?").replace(b"bXYZ", b"rXYZ").replace(b"?", b"bXYZ")
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    r, g, b = take(save(red, "swapped.png", icc_profile=swapped)).getpixel((4, 4))
    assert (r < 10, g < 10, b > 245) == (True, True, True)
    assert take(save(red, "srgb.png", icc_profile=srgb)).getpixel((4, 4))[0] > 250
    assert take(save(red, "broken.png", icc_profile=b"garbage")).getpixel((4, 4)) == (255, 0, 0)
    # A profile tells when it was made: stored, it would give equal pictures different bytes.
    assert "icc_profile" not in take(save(red, "srgb.png", icc_profile=srgb)).info


def test_large_pictures_are_scaled_to_the_area_and_small_ones_kept(photo, save, take) -> None:
    path = save(photo, "a.png")
    assert take(path, 400 * 300).size == (400, 300)
    small = take(path, 30_000)
    assert small.size == (200, 150)
    assert abs(np.asarray(small, int).mean() - np.asarray(photo, int).mean()) < 3
    strip = take(save(Image.new("RGB", (5000, 1)), "strip.png"), 100)
    assert strip.size[0] * strip.size[1] <= 100


def test_the_same_picture_gives_the_same_bytes(photo, save, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    files = [ingest(save(photo, n), "image_0.png", blobs, 5000) for n in ("a.png", "b.bmp")]
    assert files[0].sha256 == files[1].sha256
    assert (
        ingest(tmp_path / "a.png", "image_3.png", blobs, source="mine/a.png").source == "mine/a.png"
    )


def test_a_misnamed_picture_is_taken_by_content(photo, save, take, tmp_path: Path) -> None:
    save(photo, "a.png").rename(tmp_path / "a.jpg")
    assert take(tmp_path / "a.jpg").size == (400, 300)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_and_pages_are_refused(photo, save, take, suffix: str) -> None:
    path = save(photo, f"many.{suffix}", save_all=True, append_images=[photo.rotate(180)])
    assert "holds 2 pictures" in refused(take, path)


def test_what_a_phone_puts_behind_its_picture_is_left_out(photo, save, take) -> None:
    small = photo.resize((40, 30))
    assert take(save(photo, "phone.mpo", save_all=True, append_images=[small])).size == (400, 300)


def test_missing_empty_and_foreign_files_are_refused(take, tmp_path: Path) -> None:
    assert "does not exist" in refused(take, tmp_path / "nowhere.jpg")
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refused(take, tmp_path / "empty.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "not a file" in refused(take, tmp_path / "folder.jpg")
    (tmp_path / "page.jpg").write_text("<!doctype html><title>404</title>")
    assert "not a picture" in refused(take, tmp_path / "page.jpg")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert "HEIC" in refused(take, tmp_path / "phone.heic")
    assert "cannot be read" in refused(take, tmp_path / ("x" * 300 + ".png"))


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(take, tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert "178 million" in refused(take, tmp_path / "bomb.png")


def test_a_raw_file_is_not_taken_for_its_preview(photo, save, take) -> None:
    assert "raw" in refused(take, save(photo, "preview.tif", tiffinfo={254: 1}))


def test_pictures_are_told_from_other_files_by_content(photo, save, tmp_path: Path) -> None:
    for suffix in FORMATS:
        path = save(photo, f"a.{suffix}")
        assert is_picture(path.rename(tmp_path / f"a_{suffix}"))
    for name, content in [
        ("cars.csv", b"BMW,30000\nAudi,28000\n"), ("a.pdf", b"%PDF-1.7 ..."), ("empty.txt", b""),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert not is_picture(tmp_path / name)
    (tmp_path / "claims.png").write_bytes(b"no")
    assert is_picture(tmp_path / "claims.png")


@pytest.mark.parametrize("suffix", FORMATS)
def test_random_damage_gives_a_picture_or_one_error(photo, save, take, suffix: str) -> None:
    path = save(photo.resize((80, 60)), f"a.{suffix}")
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for _ in range(25):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 12):
            damaged[at] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            take(path)
        except ImageError as error:
            assert path.name in str(error)
