"""Many image files decoded by Pillow and by DALI."""

import io

import numpy as np
import pytest
from PIL import Image

from ffdwv_fast.data import dali_decoder, image_decoding
from ffdwv_fast.data.image_decoding import chosen_decoder, decode_images
from ffdwv_fast.data.image_file import read_image
from ffdwv_fast.errors import InputError
from tests.data.folders import photograph

SIDE = 32
INSIDE = np.s_[1:-1, 1:-1]


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(image.getchannel("R"))
    return image


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def turned(orientation: int) -> dict[str, object]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


# What is saved, the format, the options, and whether DALI is to decode it.
KINDS = {
    "jpeg": (lambda image: image, "jpg", {}, True),
    "jpeg of full colours": (lambda image: image, "jpg", {"subsampling": 0}, True),
    "progressive jpeg": (lambda image: image, "jpg", {"progressive": True}, True),
    "grey jpeg": (lambda image: image.convert("L"), "jpg", {}, True),
    "cmyk jpeg": (lambda image: image.convert("CMYK"), "jpg", {}, False),
    "jpeg that lies": (lambda image: image, "jpg", turned(6), False),
    "png": (lambda image: image, "png", {}, False),
    "grey png": (lambda image: image.convert("L"), "png", {}, False),
    "palette png": (lambda image: image.quantize(60), "png", {}, False),
    "transparent png": (with_alpha, "png", {}, False),
    "png of 16 bits": (sixteen_bits, "png", {}, False),
    "black and white png": (lambda image: image.convert("1"), "png", {}, False),
    "webp": (lambda image: image, "webp", {}, False),
    "webp without loss": (lambda image: image, "webp", {"lossless": True}, False),
    "transparent webp": (with_alpha, "webp", {}, False),
    "webp that lies": (lambda image: image, "webp", turned(8), False),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every kind in several sizes, larger and smaller than what is asked for."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = {}
    for kind, (change, suffix, options, _) in KINDS.items():
        for width, height in ((100, 80), (333, 500), (32, 32), (31, 47), (20, 20)):
            path = folder / f"{kind} {width} x {height}.{suffix}"
            change(photograph(width, height)).save(path, **options)
            paths[path] = kind
    return paths


def test_pillow_gives_what_read_image_gives(files):
    decoded = decode_images(list(files), SIDE, progress=False)
    assert decoded.failures == {}
    for path, image in zip(files, decoded.images, strict=True):
        np.testing.assert_array_equal(image, read_image(path, (3, SIDE, SIDE)))


def test_a_file_is_what_it_holds_and_not_what_it_is_called(tmp_path):
    photograph(40, 40).save(tmp_path / "a.png", "JPEG")
    photograph(40, 40).save(tmp_path / "b.jpg", "PNG")
    photograph(40, 40).save(tmp_path / "c.jpg", "TIFF")
    decoded = decode_images([tmp_path / name for name in ("a.png", "b.jpg", "c.jpg")], SIDE)
    assert list(decoded.failures) == [2]
    assert "cannot identify" in decoded.failures[2]
    assert not decoded.images[2].any()


def test_threads_leave_warnings_as_they_were(files, recwarn):
    import warnings

    before = list(warnings.filters)
    decode_images(list(files), SIDE, progress=False)
    assert list(warnings.filters) == before
    assert len(recwarn) == 0


def test_where_there_is_no_terminal_a_line_now_and_then_says_how_far_it_is(
    files, monkeypatch, capsys
):
    monkeypatch.setattr(image_decoding, "SECONDS_BETWEEN_LINES", -1)
    decode_images(list(files), SIDE, progress=False)
    assert capsys.readouterr().out == ""
    decode_images(list(files), SIDE)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("decoded 64 of 80 images, ")
    assert last.startswith("decoded 80 of 80 images, ")
    assert last.endswith("ETA 00:00")


def test_dali_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(image_decoding, "dali_available", lambda: False)
    assert chosen_decoder("auto") == chosen_decoder("pillow") == "pillow"
    with pytest.raises(InputError, match="--decoder dali needs NVIDIA DALI: pip install"):
        chosen_decoder("dali")


class TestDali:
    """DALI beside Pillow."""

    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("nvidia.dali")

    @pytest.fixture
    def by_dali(self, monkeypatch) -> list[int]:
        """How many images each run of DALI has decoded, as it goes on."""
        counts = []
        run = dali_decoder.DaliDecoder._run

        def counted(self, group):
            images = run(self, group)
            counts.append(0 if images is None else len(images))
            return images

        monkeypatch.setattr(dali_decoder.DaliDecoder, "_run", counted)
        return counts

    def test_it_is_the_choice_where_it_is_installed(self):
        assert chosen_decoder("auto") == chosen_decoder("dali") == "dali"

    @pytest.mark.parametrize("kind", KINDS)
    def test_its_pixels_are_pillows_but_for_rounding_and_the_edge(self, files, by_dali, kind):
        paths = [path for path, other in files.items() if other == kind]
        decoded = decode_images(paths, SIDE, "dali", progress=False)
        assert decoded.failures == {}
        assert decoded.by_dali == sum(by_dali) == (len(paths) if KINDS[kind][3] else 0)
        for path, image in zip(paths, decoded.images, strict=True):
            difference = abs(image.astype(int) - read_image(path, (3, SIDE, SIDE)))
            if not KINDS[kind][3]:
                assert difference.max() == 0
            assert difference[INSIDE].max() <= 1
            assert difference.max() <= 8
            assert difference.mean() < 0.3

    def test_at_the_edge_an_eighth_of_the_weight_is_elsewhere(self, tmp_path):
        pixels = np.full((320, 320), 255, dtype=np.uint8)
        pixels[[0, -1]] = pixels[:, [0, -1]] = 0
        Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100)
        (image,) = decode_images([tmp_path / "a.jpg"], SIDE, "dali", progress=False).images
        difference = abs(image.astype(int) - read_image(tmp_path / "a.jpg", (3, SIDE, SIDE)))
        assert difference[INSIDE].max() <= 1
        assert 20 < difference[0, 1:-1].max() <= 256 // 8
        assert difference[0, 0].max() <= 256 // 4

    def test_dali_that_cannot_decode_here_is_an_input_error(self, monkeypatch):
        def fail(*_):
            raise RuntimeError("no\ncodec")

        monkeypatch.setattr(dali_decoder, "_build_pipeline", fail)
        with pytest.raises(InputError, match=r"cannot decode here \(no codec\); use --decoder"):
            decode_images([], SIDE, "dali")

    def test_the_order_is_kept_whoever_decodes(self, tmp_path, by_dali):
        for number in range(100):
            image = Image.new("RGB", (9, 9), (2 * number, 255 - 2 * number, 128))
            image.save(tmp_path / f"{number:03}.{('jpg', 'png')[number % 3 == 0]}", quality=100)
        (tmp_path / "050.jpg").write_bytes(b"\xff\xd8\xff")
        paths = sorted(tmp_path.iterdir())
        decoded = decode_images(paths, SIDE, "dali", progress=False)
        assert list(decoded.failures) == [50]
        expected = np.array([[2 * n, 255 - 2 * n, 128] for n in range(100)])
        expected[50] = 0
        got = decoded.images.reshape(100, -1, 3).astype(int)
        assert abs(got - expected[:, None]).max() <= 2
        assert sum(by_dali) == 100 - 34 - 1

    def test_what_dali_refuses_is_pillows_and_dali_goes_on(self, tmp_path, by_dali):
        buffer = io.BytesIO()
        photograph(60, 60).save(buffer, "JPEG")
        whole = buffer.getvalue()
        tables = whole.index(b"\xff\xdb")  # of quantisation; there is no image without
        frame = whole.index(b"\xff\xc0")
        for number in range(3 * image_decoding.FILES_AT_ONCE):
            (tmp_path / f"{number:03}.jpg").write_bytes(whole)
        (tmp_path / "010.jpg").write_bytes(whole[:tables] + whole[frame:])
        decoded = decode_images(sorted(tmp_path.iterdir()), SIDE, "dali", progress=False)
        assert list(decoded.failures) == [10]
        assert by_dali == [0, 64, 64]
        reference = read_image(tmp_path / "000.jpg", (3, SIDE, SIDE))
        others = np.delete(decoded.images, 10, axis=0)
        assert abs(others.astype(int) - reference).max() <= 8

    def test_large_images_come_few_at_a_time_or_not_at_all(self, tmp_path, by_dali, monkeypatch):
        monkeypatch.setattr(dali_decoder, "MOST_PIXELS_AT_ONCE", 3 * 40 * 40)
        sizes = [40, 40, 40, 40, 80, 10, 40]
        for number, size in enumerate(sizes):
            photograph(size, size).save(tmp_path / f"{number}.jpg")
        paths = sorted(tmp_path.iterdir())
        decoded = decode_images(paths, SIDE, "dali", progress=False)
        assert by_dali == [3, 3]
        for path, image in zip(paths, decoded.images, strict=True):
            difference = abs(image.astype(int) - read_image(path, (3, SIDE, SIDE)))
            assert difference[INSIDE].max() <= 1

    def test_files_that_are_large_or_cut_off_are_pillows(self, tmp_path, by_dali, monkeypatch):
        photograph(40, 40).save(tmp_path / "a.jpg")
        content = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "b.jpg").write_bytes(content[:-40])
        (tmp_path / "c.jpg").write_bytes(content + b"more")
        monkeypatch.setattr(dali_decoder, "MOST_FILE_BYTES", len(content) + 3)
        paths = sorted(tmp_path.iterdir())
        decoded = decode_images(paths, SIDE, "dali", progress=False)
        assert by_dali == [1]
        assert list(decoded.failures) == [1]
        assert "truncated" in decoded.failures[1]
        np.testing.assert_array_equal(decoded.images[2], read_image(paths[2], (3, SIDE, SIDE)))
