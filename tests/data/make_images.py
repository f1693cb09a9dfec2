"""Make the small pictures in `images/` that `tests/io/test_image.py` reads: python tests/data/make_images.py.

The files are kept in the repository, since encoders differ between versions; run this only to add one.
Everything is generated here: no photograph and no third-party colour profile.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

FOLDER = Path(__file__).parent / "images"

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
HEIGHT, WIDTH = 32, 48

SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))  # XYZ, D50
D50 = (0.9642, 1.0, 0.8249)
INKS = ((0, 160, 230), (230, 0, 130), (255, 240, 0), (30, 30, 30))  # cyan, magenta, yellow, black on paper


def quadrants(top_left=RED, top_right=GREEN, bottom_left=BLUE, bottom_right=WHITE):
    """Return a picture (32, 48, 3) of four colours, so that every rotation and reflection differs."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:] = top_left, top_right
    picture[16:, :24], picture[16:, 24:] = bottom_left, bottom_right
    return Image.fromarray(picture)


def png(name, width, height, depth, colour, rows, **chunks):
    """Write a PNG chunk by chunk: PIL writes neither 16-bit colour nor every kind of transparency."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    body = chunk(b"IDAT", zlib.compress(rows, 9))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body + chunk(b"IEND", b"")
    (FOLDER / name).write_bytes(data)


def exif(orientation, broken=False):
    """Return EXIF with an orientation; `broken` adds a number stored as text, which PIL cannot write again."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    if broken:
        entries.append(struct.pack("<HHI4s", 0x0128, 2, 4, b"abc\0"))
    body = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body


def fixed(*values):
    """Encode numbers as ICC's s15Fixed16."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(kind, space, connection, tags):
    """Return an ICC v2 profile with the given tags."""
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(8) + bytes(70),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50),
        **tags,
    }
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI", offset + len(body), bytes(4), 0x02400000) + kind + space + connection
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def swapped_profile():
    """Return sRGB with red and green swapped: pure red in the file is green on the screen."""
    red, green, blue = SRGB_PRIMARIES
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256))
    tags = {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    for name, xyz in ((b"rXYZ", green), (b"gXYZ", red), (b"bXYZ", blue)):
        tags[name] = b"XYZ \0\0\0\0" + fixed(*xyz)
    return profile(b"mntr", b"RGB ", b"XYZ ", tags)


def lab8(rgb):
    """Convert sRGB in [0, 1] to CIE Lab (D50) as ICC's three bytes."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    xyz = np.array(linear) @ np.array(SRGB_PRIMARIES) / D50
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = (116 * f[1] - 16) * 2.55, 500 * (f[0] - f[1]) + 128, 200 * (f[1] - f[2]) + 128
    return bytes(int(np.clip(np.rint(v), 0, 255)) for v in lab)


def cmyk_profile():
    """Return the profile of a press with `INKS`, whose colours multiply where they overlap: 2 ** 4 table corners."""
    corners = b""
    for corner in np.ndindex(2, 2, 2, 2):
        inks = [np.array(ink) / 255 for ink, used in zip(INKS, corner, strict=True) if used]
        corners += lab8(np.prod([np.ones(3), *inks], axis=0))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut + ramp * 4 + corners + ramp * 3})


def make_formats():
    """Write one picture in every supported format, and animations whose second picture is all blue."""
    picture = quadrants()
    picture.save(FOLDER / "quadrants.jpg", quality=95, subsampling=0)
    picture.save(FOLDER / "quadrants.png")
    picture.quantize(4).save(FOLDER / "palette.png")
    picture.save(FOLDER / "quadrants.bmp")
    picture.save(FOLDER / "quadrants.tif")
    picture.save(FOLDER / "quadrants_lzw.tif", compression="tiff_lzw")
    picture.save(FOLDER / "quadrants.webp", lossless=True)
    picture.save(FOLDER / "quadrants.avif", quality=100, subsampling="4:4:4")
    picture.save(FOLDER / "quadrants.heic", quality=-1)
    picture.quantize(4).save(FOLDER / "quadrants.gif")
    save_two("two.mpo", quality=95, subsampling=0)
    save_two("pages.tif")
    save_two("animated.gif", duration=100)
    save_two("animated.png", duration=100)
    save_two("animated.webp", duration=100, lossless=True)


def save_two(name, **options):
    """Save the quadrants and then an all blue picture as pages or as an animation."""
    later = Image.new("RGB", (WIDTH, HEIGHT), BLUE)  # new each time: PIL leaves a format's settings on a saved image
    quadrants().save(FOLDER / name, save_all=True, append_images=[later], **options)


def make_turned():
    """Write the same upright picture in each of the eight EXIF orientations."""
    turn = Image.Transpose
    stored = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE}
    stored |= {6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    jpeg = {"quality": 95, "subsampling": 0}
    for orientation in range(1, 9):
        picture = quadrants()
        if orientation > 1:
            picture = picture.transpose(stored[orientation])
        picture.save(FOLDER / f"orientation_{orientation}.jpg", exif=exif(orientation), **jpeg)
    turned = quadrants().transpose(stored[6])
    turned.save(FOLDER / "orientation_6.png", exif=exif(6))
    turned.save(FOLDER / "orientation_6.webp", exif=exif(6), lossless=True)
    turned.save(FOLDER / "orientation_6.tif", tiffinfo={0x0112: 6})
    turned.save(FOLDER / "orientation_6.heic", exif=exif(6), quality=-1)
    turned.save(FOLDER / "orientation_6_broken_tag.jpg", exif=exif(6, broken=True), **jpeg)
    quadrants().save(FOLDER / "broken_exif.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense", **jpeg)


def make_transparent():
    """Write pictures of two pixels, so that every value can be computed by hand."""
    Image.fromarray(np.array([[[255, 0, 0, 0], [0, 100, 200, 128]]], np.uint8)).save(FOLDER / "rgba.png")
    Image.fromarray(np.array([[[0, 0], [100, 128]]], np.uint8), "LA").save(FOLDER / "grey_alpha.png")
    png("rgb_key.png", 2, 1, 8, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6]), tRNS=struct.pack(">3H", 1, 2, 3))
    png("grey_key.png", 2, 1, 8, 0, b"\0" + bytes([7, 8]), tRNS=struct.pack(">H", 7))
    png("palette_alpha.png", 2, 1, 8, 3, b"\0\0\1", PLTE=bytes([255, 0, 0, 0, 100, 200]), tRNS=b"\0\x80")
    deep = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    png("rgb16_key.png", 2, 1, 16, 2, b"\0" + deep + struct.pack(">3H", 65535, 0, 257), tRNS=deep)
    png("grey16_key.png", 2, 1, 16, 0, b"\0" + struct.pack(">2H", 300, 25700), tRNS=struct.pack(">H", 300))
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 100, 200])
    palette.putpixel((1, 0), 1)
    palette.save(FOLDER / "transparent.gif", transparency=0)


def make_deep():
    """Write pictures with more or fewer than eight bits per channel."""
    greys = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(greys).save(FOLDER / "grey16.png")
    Image.fromarray(greys).save(FOLDER / "grey16_little.tif")
    Image.fromarray(greys.astype(">u2")).save(FOLDER / "grey16_big.tif")
    png("rgb16.png", 2, 1, 16, 2, b"\0" + struct.pack(">6H", 65535, 0, 257, 32896, 514, 25700))
    for name, values in (("small", [0, 100, 255]), ("deep", [0, 257, 65535]), ("wide", [-100, -50, 100])):
        Image.fromarray(np.array([values], np.int32)).save(FOLDER / f"int_{name}.tif")
    nan, inf = np.nan, np.inf
    floats = {"unit": [0, 0.2, 1], "wide": [-2, -1, 2], "holes": [nan, 0.2, inf], "empty": [nan, inf, -inf]}
    for name, values in (floats | {"flat": [7, 7, 7]}).items():
        Image.fromarray(np.array([values], np.float32)).save(FOLDER / f"float_{name}.tif")
    png("bilevel.png", 8, 1, 1, 0, b"\0\x0f")
    png("bomb.png", 8000, 8000, 1, 0, bytes(1001 * 8000))
    # A GIF screen of one pixel with the largest frame that the format allows.
    frame = b"," + struct.pack("<4HB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\x00;"
    screen = b"GIF89a" + struct.pack("<2H3B", 1, 1, 0x80, 0, 0) + bytes(6)
    (FOLDER / "bomb.gif").write_bytes(screen + frame)
    png("strip.png", 1, 5000, 8, 0, bytes(2 * 5000))


def make_coloured():
    """Write pictures in other colour spaces, with and without a profile, good and broken."""
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for name, icc in (("plain", None), ("profile", cmyk_profile()), ("broken_profile", b"nonsense" * 20)):
        cyan.save(FOLDER / f"cmyk_{name}.jpg", quality=95, icc_profile=icc)
    srgb = ImageCms.createProfile("sRGB")
    built_in = ImageCms.ImageCmsProfile(srgb).tobytes()
    profiles = {
        "srgb": built_in[:24] + bytes(12) + built_in[36:],  # without the time of its creation
        "swapped": swapped_profile(),
        "broken": b"nonsense" * 20,
        "wrong": cmyk_profile(),
    }
    for name, icc in profiles.items():
        quadrants().save(FOLDER / f"rgb_{name}_profile.png", icc_profile=icc)
    quadrants().quantize(4).save(FOLDER / "palette_swapped_profile.png", icc_profile=swapped_profile())
    rgba = quadrants().convert("RGBA")
    rgba.save(FOLDER / "rgba_swapped_profile.png", icc_profile=swapped_profile())
    lab = ImageCms.profileToProfile(quadrants(), srgb, ImageCms.createProfile("LAB"), outputMode="LAB")
    lab.info.pop("icc_profile", None)
    lab.save(FOLDER / "lab.tif")


def make_foreign():
    """Write files that are not pictures, some with the extension of one."""
    (FOLDER / "text.png").write_text("This is not a picture.\n")
    (FOLDER / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>\n')
    (FOLDER / "page.html").write_text("<!DOCTYPE html><title>page</title>\n")
    (FOLDER / "paper.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    (FOLDER / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    (FOLDER / "phone.mp4").write_bytes(struct.pack(">I", 24) + b"ftypisom" + bytes(4) + b"isommp42")
    (FOLDER / "camera.cr3").write_bytes(struct.pack(">I", 24) + b"ftypcrx " + bytes(4) + b"crx isom")
    (FOLDER / "scan.jp2").write_bytes(struct.pack(">I", 12) + b"jP  \r\n\x87\n" + struct.pack(">I", 20) + b"ftypjp2 ")
    (FOLDER / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (FOLDER / "empty.png").write_bytes(b"")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    pillow_heif.register_heif_opener()
    make_formats()
    make_turned()
    make_transparent()
    make_deep()
    make_coloured()
    make_foreign()
