"""Films: every frame repaired, rate and sound kept."""

import struct
from fractions import Fraction

import numpy as np
import pytest
import torch

from sfumato.core.errors import ImageError, SettingError
from sfumato.models import MODELS
from sfumato.restoration import film as films
from sfumato.restoration.film import Change, is_film, restore_film, rewritten
from sfumato.restoration.request import RestorationRequest

av = pytest.importorskip("av", reason="films need the extra video")


@pytest.fixture
def brighter():
    net = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.zeros_(net.tail.weight)
    torch.nn.init.constant_(net.tail.bias, 0.2)
    return RestorationRequest(task="denoise", model=net)


@pytest.fixture
def film(tmp_path):
    """Twelve frames of 48 x 36 that grow brighter, at 12.5 a second, with a tone."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=Fraction(25, 2), options={"crf": "10"})
        pictures.width, pictures.height, pictures.pix_fmt = 48, 36, "yuv420p"
        sound = container.add_stream("aac", rate=44100, layout="mono")
        for i in range(12):
            frame = np.full((36, 48, 3), 40 + 8 * i, np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        tone = (np.sin(np.arange(44100) / 20) * 0.3).astype(np.float32)
        for start in range(0, 44100, 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            piece.rate, piece.pts = 44100, start
            container.mux(sound.encode(piece))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    return path


def frames(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]


def test_every_frame_is_repaired_and_the_rest_is_kept(film, brighter, tmp_path):
    told = []
    words = restore_film(film, tmp_path / "out" / "film.mp4", brighter, on_progress=lambda done, total: told.append((done, total)))
    before, after = frames(film), frames(tmp_path / "out" / "film.mp4")
    assert len(after) == len(before) == 12
    np.testing.assert_allclose(np.subtract(after, before), 51, atol=4)
    assert told[-1] == (12, 12)
    assert "12 frames" in words
    with av.open(str(film)) as one, av.open(str(tmp_path / "out" / "film.mp4")) as other:
        assert other.streams.video[0].average_rate == one.streams.video[0].average_rate
        packets = [[bytes(p) for p in c.demux(audio=0) if p.dts is not None] for c in (one, other)]
        assert packets[0] == packets[1]


def test_a_film_may_be_bytes_or_an_open_file(film, brighter, tmp_path):
    words = restore_film(film, tmp_path / "path.mkv", brighter)
    assert restore_film(film.read_bytes(), tmp_path / "bytes.mkv", brighter) == words
    with film.open("rb") as file:
        assert restore_film(file, tmp_path / "file.mkv", brighter) == words
    assert frames(tmp_path / "bytes.mkv") == frames(tmp_path / "file.mkv") == frames(tmp_path / "path.mkv")
    with pytest.raises(ImageError, match=r"^the film: cannot be read"):
        restore_film(b"no film", tmp_path / "none.mkv", brighter)


def test_scratches_are_looked_for_in_every_frame_though_the_first_has_none(tmp_path):
    squares = np.kron(np.random.default_rng(0).uniform(90, 150, (8, 8)), np.ones((16, 16))).astype(np.uint8)
    with av.open(str(tmp_path / "film.mkv"), "w") as made:
        stream = made.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for i in range(4):
            frame = squares[..., None].repeat(3, axis=2)
            frame[:, 60 + i : 63 + i] = frame[:, 60 + i : 63 + i] if i == 0 else 255
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode())
    net = MODELS["gated"](width=4, middle=1, planes=("observed",), fill=3).build().eval()
    for weight in net.tail.parameters():
        torch.nn.init.zeros_(weight)
    words = restore_film(tmp_path / "film.mkv", tmp_path / "out.mkv", RestorationRequest(model=net, find=("scratches",)))
    assert words == "at first 0.00% scratches: nothing to fill in, 4 frames"
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [frame.to_ndarray(format="rgb24").max() < 200 for frame in container.decode(video=0)] == [True] * 4


def test_ten_bits_stay_ten_bits_and_title_and_place_stay(tmp_path):
    """A ramp of 512 levels, which 8 bits would halve."""
    ramp = np.linspace(8192, 57344, 512).astype(np.uint16)
    picture = np.broadcast_to(ramp[None, :, None], (32, 512, 3))
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata.update({"title": "Sea", "location": "+54.3+010.1/"})
        pictures = container.add_stream("libx264", rate=25, options={"qp": "0"})
        pictures.width, pictures.height, pictures.pix_fmt = 512, 32, "yuv420p10le"
        for _ in range(3):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb48le")))
        container.mux(pictures.encode())
    for ending in ("mkv", "mp4"):
        rewritten(tmp_path / "a.mkv", tmp_path / f"b.{ending}", lambda first: Change("", first.shape[2:], lambda images: images))
        with av.open(str(tmp_path / f"b.{ending}")) as container:
            assert container.streams.video[0].codec_context.pix_fmt == "yuv420p10le"
            assert container.metadata.get("title", container.metadata.get("TITLE")) == "Sea"
            frame = next(container.decode(video=0)).to_ndarray(format="rgb48le")
        assert len(np.unique(frame[16, :, 1])) > 300
        assert np.abs(frame[16, :, 1].astype(int) - ramp).mean() < 300


def test_a_film_that_was_stored_on_its_side_is_upright(film, brighter, tmp_path):
    data = bytearray(film.read_bytes())
    place = data.find(b"tkhd") + 44  # the matrix of a version 0 header: turn by a quarter clockwise
    struct.pack_into(">9i", data, place, 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    (tmp_path / "side.mp4").write_bytes(data)
    restore_film(tmp_path / "side.mp4", tmp_path / "out.mp4", brighter)
    with av.open(str(tmp_path / "side.mp4")) as one, av.open(str(tmp_path / "out.mp4")) as other:
        stored, made = next(one.decode(video=0)), next(other.decode(video=0))
    assert stored.rotation % 360 == 270
    assert (made.width, made.height, made.rotation) == (36, 48, 0)


@pytest.mark.parametrize(("standard", "span"), [(1, 1), (1, 2), (5, 1), (6, 1), (9, 1), (2, 0)])
def test_colours_and_what_the_film_says_of_them_are_kept(standard, span, tmp_path):
    """BT.709 where it was BT.709: in that of small old films, untagged, every player shows other greens."""
    with av.open(str(tmp_path / "film.mp4"), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = standard, span, 1, 13
        rows = np.zeros((48, 64, 3), np.uint8)
        rows[:24], rows[24:] = (20, 160, 60), (200, 40, 90)
        frame = av.VideoFrame.from_ndarray(rows, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=standard if standard != 2 else None, dst_color_range=span or None)
        made.mux(stream.encode(frame))
        made.mux(stream.encode())
    rewritten(tmp_path / "film.mp4", tmp_path / "again.mp4", lambda first: Change("", first.shape[2:], lambda images: images))
    seen = []
    for name in ("film", "again"):
        with av.open(str(tmp_path / f"{name}.mp4")) as film:
            frame, context = next(film.decode(video=0)), film.streams.video[0].codec_context
            said = context.colorspace, context.color_range, context.color_primaries, context.color_trc
            seen.append((said, frame.to_ndarray().astype(int)))
    assert seen[0][0] == seen[1][0]
    assert seen[0][0] == (standard, span or seen[0][0][1], 1, 13)
    assert np.quantile(np.abs(seen[0][1] - seen[1][1]), 0.9) <= 2  # but for the line between the two colours


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_frames_keep_their_own_times_however_uneven(kind, brighter, tmp_path):
    times = [0, 10, 20, 30, 200, 400, 410, 1000]
    with av.open(str(tmp_path / "uneven.mkv"), "w") as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 48, 36, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, 1000)
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((36, 48, 3), 40 + 8 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
    restore_film(tmp_path / "uneven.mkv", tmp_path / f"out.{kind}", brighter)
    with av.open(str(tmp_path / f"out.{kind}")) as container:
        made = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(np.subtract(made, made[0]), np.divide(times, 1000), atol=1.5e-3)


def test_sound_that_the_file_cannot_hold_is_said(brighter, tmp_path):
    with av.open(str(tmp_path / "old.avi"), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_u8", rate=8000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 48, 36, "yuv420p"
        for _ in range(3):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((36, 48, 3), 90, np.uint8), format="rgb24")))
        piece = av.AudioFrame.from_ndarray(np.full((1, 800), 128, np.uint8), format="u8", layout="mono")
        piece.rate, piece.pts = 8000, 0
        container.mux(sound.encode(piece))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    with pytest.raises(SettingError, match="choose an --out that ends in"):
        restore_film(tmp_path / "old.avi", tmp_path / "out.mp4", brighter)
    assert not list(tmp_path.glob("*part*"))
    restore_film(tmp_path / "old.avi", tmp_path / "out.mkv", brighter)


def test_a_source_that_cannot_be_read_is_blamed_and_not_a_target_of_its_name(brighter, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film at all" * 100)
    with pytest.raises(ImageError, match=r"film\.mp4: cannot be read as a film") as error:
        restore_film(tmp_path / "film.mp4", tmp_path / "out" / "film.mp4", brighter)
    assert "out" not in str(error.value).partition(":")[0]


def test_a_target_that_cannot_be_written_is_blamed(film, brighter, tmp_path, monkeypatch):
    def refuse(av, source, made, change, tell):
        raise av.error.InvalidDataError(1094995529, "Invalid data", made.name)

    monkeypatch.setattr(films, "_copy", refuse)
    with pytest.raises(ImageError, match=r"out.film\.mp4: cannot be written as a film"):
        restore_film(film, tmp_path / "out" / "film.mp4", brighter)


def test_a_film_is_given_alone(film):
    assert is_film([str(film)])
    assert not is_film(["a.png", "b.png"])
    with pytest.raises(SettingError, match="give it alone"):
        is_film(["a.png", str(film)])


def test_what_is_no_film_is_told_and_leaves_nothing(brighter, tmp_path, film):
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(ImageError, match="cannot be read as a film"):
        restore_film(tmp_path / "bad.mp4", tmp_path / "out.mp4", brighter)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(SettingError, match=r"written as \.mp4 or \.mkv"):
        restore_film(film, tmp_path / "out.gif", brighter)
    with pytest.raises(SettingError, match="is read and would be written over"):
        restore_film(film, film, brighter)


def test_an_unchanged_result_is_replaced_and_no_other_file(brighter, tmp_path, film):
    target = tmp_path / "out.mp4"
    restore_film(film, target, brighter)
    restore_film(film, target, brighter)
    target.write_bytes(target.read_bytes() + b"somebody's")
    changed = target.read_bytes()
    with pytest.raises(SettingError, match="is there already"):
        restore_film(film, target, brighter)
    assert target.read_bytes() == changed
    restore_film(film, target, brighter, overwrite=True)
    assert target.read_bytes() != changed
