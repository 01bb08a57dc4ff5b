"""ImageDecoder: files made by hand, bit by bit."""

import struct
import zlib

import numpy as np
import pytest
import slipway
from reference import single


def decode(data, pixel_format="RGB"):
    model, feeds = single("ImageDecoder", [np.frombuffer(data, np.uint8)], pixel_format=pixel_format)
    return slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def png(rng, samples, depth, color, palette=None):
    """A PNG file of samples [height, width, channels] below 2 ** depth, each row with a filter drawn at random."""
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = (samples.reshape(height, -1, 1) >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, channels * depth // 8)
    above, out = np.zeros(rows.shape[1], np.int64), bytearray()
    for row in rows.astype(np.int64):
        kind = int(rng.integers(5))
        left = np.concatenate([np.zeros(step, np.int64), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, np.int64), above])[: len(row)]
        estimate = left + above - corner
        a, b, c = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        guess = [0 * row, left, above, (left + above) // 2, paeth][kind]
        out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    colors = chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    packed = zlib.compress(bytes(out), int(rng.integers(0, 10)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colors + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("color", "depth"),
    [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)],
)
def test_png(color, depth):
    rng = np.random.default_rng(color * 16 + depth)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    samples = rng.integers(0, 2**depth, (13, 37, channels))
    palette = rng.integers(0, 256, (2**depth, 3), np.uint8) if color == 3 else None
    image = decode(png(rng, samples, depth, color, palette))
    if color == 3:
        want = palette[samples[..., 0]]
    else:
        want = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
        want = want[..., :3] if color in (2, 6) else np.repeat(want[..., :1], 3, -1)
    np.testing.assert_array_equal(image, want)


def test_bmp_and_pnm():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    rows = b"".join(row.tobytes().ljust(24, b"\0") for row in image[::-1, :, ::-1])
    info = struct.pack("<IiiHHIIiiII", 40, 7, 5, 1, 24, 0, len(rows), 0, 0, 0, 0)
    bmp = b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows
    np.testing.assert_array_equal(decode(bmp), image)
    np.testing.assert_array_equal(decode(bmp, "BGR"), image[..., ::-1])
    np.testing.assert_array_equal(decode(b"P6 # a comment\n7 5\n255\n" + image.tobytes()), image)
    text = " ".join(map(str, image.ravel()))
    np.testing.assert_array_equal(decode(f"P3\n7 5\n255\n{text}\n".encode()), image)
    bits = rng.integers(0, 2, (5, 7), np.uint8)
    want = (1 - bits[..., None]) * np.uint8(255)
    np.testing.assert_array_equal(decode(b"P4 7 5\n" + np.packbits(bits, axis=1).tobytes(), "Grayscale"), want)


def test_broken_images_have_no_pixels():
    rng = np.random.default_rng(0)
    whole = png(rng, rng.integers(0, 256, (9, 9, 3)), 8, 2)
    for data in (b"", b"P6", b"BM", whole[:40], b"\xff\xd8\xff\xe0 no picture", b"nothing known", b"P5 9 9 255\n"):
        assert decode(data).shape == (0, 0, 3)
    for _ in range(200):
        broken = bytearray(whole)
        broken[int(rng.integers(8, len(whole)))] ^= 1 << int(rng.integers(8))
        assert decode(bytes(broken)).ndim == 3
