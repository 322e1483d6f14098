"""Folders of images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.cases.making import Make


def bomb(make: Make) -> None:
    """One scan of 200 megapixels among the photos."""
    make.image_model()
    make.photos()

    Image.new("L", (20000, 10000), 128).save(make.out / "photos" / "cat" / "scan.png", compress_level=9)


def exif(make: Make) -> None:
    """Photos that a phone stored turned, with the EXIF orientation."""
    make.image_model()
    (make.out / "photos" / "a").mkdir(parents=True, exist_ok=True)
    (make.out / "photos" / "b").mkdir(parents=True, exist_ok=True)
    for i in range(100):
        for c in "ab":
            a = make.rng.integers(0, 60, (24, 24, 3)).astype(np.uint8)
            a[:, :12] += 190  # light on the left, as stored
            exif = Image.Exif()
            exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: light at the top
            Image.fromarray(a).save(make.out / "photos" / c / f"{i}.jpg", exif=exif, quality=95)


def gray16(make: Make) -> None:
    """16-bit grey PNGs (X-rays, depth maps): pixels up to 65535."""
    make.image_model()
    for c, low in (("dark", 0), ("light", 30000)):
        (make.out / "photos" / c).mkdir(parents=True, exist_ok=True)
        for i in range(100):
            Image.fromarray(
                (make.rng.integers(low, low + 20000, (24, 24)) * (make.rng.random((24, 24)) > 0.1)).astype(np.uint16)
            ).save(make.out / "photos" / c / f"{i:03}.png")


def jpeg_cut(make: Make) -> None:
    """One JPEG of the folder is cut off."""
    make.image_model()
    make.photos()

    f = make.out / "photos" / "cat" / "cut.jpg"
    make.photo(f, 200)
    f.write_bytes(f.read_bytes()[:3000])


def macos_files(make: Make) -> None:
    """Finder's ._ files beside the photos, copied from a Mac."""
    make.image_model()
    make.photos()

    for f in sorted((make.out / "photos" / "cat").glob("*.png"))[:3]:
        (f.parent / ("._" + f.name)).write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(60))


def png_bad_data(make: Make) -> None:
    """One PNG of the folder has damaged pixels."""
    make.image_model()
    make.photos()

    f = make.out / "photos" / "cat" / "007.png"
    b = bytearray(f.read_bytes())
    i = b.find(b"IDAT")
    b[i + 40 : i + 80] = bytes(40)
    f.write_bytes(b)


def png_broken_chunk(make: Make) -> None:
    """One PNG of the folder is damaged in the middle."""
    make.image_model()
    make.photos()

    f = make.out / "photos" / "cat" / "007.png"
    b = bytearray(f.read_bytes())
    i = b.find(b"IDAT")
    b[i : i + 4] = b"ID\x00T"
    f.write_bytes(b)


def rgba(make: Make) -> None:
    """Transparent PNGs (logos): black under the transparency."""
    make.image_model()
    (make.out / "photos" / "a").mkdir(parents=True, exist_ok=True)
    (make.out / "photos" / "b").mkdir(parents=True, exist_ok=True)
    for i in range(100):
        for c in "ab":
            a = make.rng.integers(0, 256, (24, 24, 4)).astype(np.uint8)
            mode = ("RGBA", "CMYK", "P", "LA")[i % 4]
            im = (
                Image.fromarray(a, "RGBA")
                if mode == "RGBA"
                else Image.fromarray(a[..., :3]).convert("P" if mode == "P" else mode if mode == "CMYK" else "LA")
            )
            im.save(make.out / "photos" / c / f"{i}.{'jpg' if mode == 'CMYK' else 'png'}")


def stray_image(make: Make) -> None:
    """One picture lies beside the class folders."""
    make.image_model()
    make.photos()

    make.photo(make.out / "photos" / "cover.png")


def symlink_class(make: Make) -> None:
    """A class folder that is a link to where the photos lie."""
    make.image_model()
    make.photos(("dog",))
    (make.out / "elsewhere").mkdir(exist_ok=True)
    for i in range(100):
        make.photo(make.out / "elsewhere" / f"{i}.png")
    (make.out / "photos" / "cat").symlink_to(make.out / "elsewhere")
