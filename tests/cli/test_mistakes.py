"""Every mistake on a command line is one line that names the thing and its value: exit code 2, no traceback, no result written."""

from pathlib import Path

import pytest
from PIL import Image

from sfumato.cli import main

MISTAKES = """
generate                                              | MODEL
generate nobody                                       | nobody digits
generate digits extra                                 | extra
generate digits -n 0                                  | --n 0
generate digits -n many                               | --n many
generate digits --columns 0                           | --columns 0
generate digits --truncation 2.5                      | --truncation 2.5
generate digits --truncation nan                      | --truncation nan
generate digits --threads many                        | --threads many
generate digits --threads -3                          | threads -3
generate digits --seeds 1 x                           | --seeds x
generate digits --lable 3                             | --lable --label
generate digits --out                                 | --out
generate digits --out sheet.txt                       | sheet.txt
generate text.png                                     | text.png
interpolate digits --steps 0                          | --steps 0
interpolate digits --enlarge 0                        | --enlarge 0
interpolate digits --fps 0                            | fps 0
interpolate digits --fps 80                           | fps 80
interpolate digits --space q                          | --space q z w
interpolate digits --out walk.png                     | walk.png .png .gif
mix digits --layers x                                 | layers x
project digits                                        | FILE
project digits nowhere.png                            | nowhere.png
project digits photo.png --steps 0                    | --steps 0
directions digits --method magic                      | --method magic principal closed-form jacobian
directions digits --name x                            | --name --examples
directions digits --examples photos                   | --examples photos
directions digits --examples photos photos --count 3  | --count --examples
edit digits                                           | --moves
edit digits --moves 0=1                               | directions.safetensors
edit digits --replay photo.png --moves 0=1            | --moves --replay
drag digits                                           | --points
drag digits --points 1                                | '1'
drag digits --points 1,1:2,2 --steps 0                | --steps 0
dream photo.png --octaves 0                           | --octaves 0
dream photo.png --strength -1                         | --strength -1
dream photo.png --strength many                       | --strength many
dream photo.png --zoom -1                             | --zoom -1
dream photo.png --zoom 3 --n 2                        | --n 2 --zoom
dream photo.png --through digits                      | --through digits photo.png
dream photo.png --preview photo.png                   | --preview photo.png
dream --n 0                                           | --n 0
dream --n 3 --out a.png                               | --n 3 a.png
dream --size 12x                                      | --size 12x
features nobody                                       | nobody
features fashion-classifier --steps -1                | --steps -1
evaluate digits --ensemble 8                          | --ensemble 8 --restore
evaluate digits --ensemble 3                          | --ensemble 3
evaluate digits --count 0                             | --count 0
evaluate digits --precision fp16                      | --precision fp16
evaluate median --restore rain                        | rain noise:25
evaluate median --restore text --accuracy-score       | --accuracy-score --restore
evaluate restore --restore noise:25 --data nowhere    | nowhere
evaluate restore --restore noise:25 --count 5         | --count --restore
evaluate restore --restore noise:25 --seed 5          | --seed --restore
evaluate codec --compress                             | --data
evaluate codec --compress --data photos --count 5     | --count --compress
evaluate codec --compress --data photos --device cpu  | --device --compress
audit digits --count many                             | --count many
restore                                               | picture
restore nowhere.png                                   | nowhere.png
restore text.png                                      | text.png
restore photo.png --task paint                        | --task paint inpaint
restore photo.png --method medien                     | method medien median
restore photo.png --strength 7                        | --strength 7 2
restore photo.png --noise 300                         | --noise 300 255
restore photo.png --memory some                       | memory some
restore photo.png --blur fog                          | blur fog
restore photo.png --scale 0                           | --scale 0
restore photo.png --scale 2                           | scale 2 upscale
restore photo.png --find holes                        | --find holes scratches
restore photo.png --mask nowhere.png                  | nowhere.png
restore photos --model digits                         | digits repairs nothing
restore photos --model nobody                         | nobody
restore photos --task upscale --scale 9               | scale 9 8
restore photos --task upscale --model deblur          | deblur
restore photos --task denoise --model upscale-x2      | upscale-x2 2 times
restore photos --model restore --noise 5              | noise 5
compress photos --model digits                        | digits
compress photos --model nobody                        | nobody
decompress photos                                     | .sfm
decompress text.png                                   | text.png first bytes
embed photos --model nobody                           | nobody
embed photos --model restore                          | restore
dream photos --network nobody                         | nobody
dream photos --network restore                        | restore
restore film.mp4 --mask photo.png                     | --mask photo.png
restore photo.png --out x.txt                         | x.txt
import                                                | FILE
import nowhere.pth                                    | nowhere.pth
import photo.png                                      | photo.png
models --runz x                                       | --runz --runs
completion                                            | bash
completion tcsh                                       | tcsh bash
demo --budget soon                                    | budget soon
train dcgna                                           | dcgna dcgan
train dcgan --data nowhere                            | nowhere
train dcgan --batch 0                                 | batch 0
train dcgan --images many                             | --images many
train dcgan --lr 7                                    | lr 7
train dcgan --model.size 32x32                        | --model.size 32x32 two
train dcgan --model.widht 3                           | --model.widht --model.width
train dcgan --start nobody                            | nobody
frobnicate                                            | frobnicate
--frobnicate                                          | --frobnicate
"""
"""Command lines that ask for something that cannot be, and words of the error: the flag or the thing, its value, what is allowed."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with pictures, a file that is none, and a film."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), (200, 30, 60)).save("photo.png")
    Path("photos").mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (50 * i, 30, 60)).save(f"photos/{i}.png")
    Path("text.png").write_text("no picture")
    Path("film.mp4").write_bytes(b"no film")
    return tmp_path


def files(folder):
    """The files below a folder, but for the manifest, which notes the pictures that failed."""
    return {path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.jsonl"}


@pytest.mark.parametrize("row", MISTAKES.strip().splitlines(), ids=lambda row: row.partition("|")[0].strip())
def test_a_mistake_is_one_line_that_names_the_thing_and_its_value(row, folder, capsys):
    before = files(folder)
    line, _, words = row.partition("|")
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("sfumato: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    assert [word for word in words.split() if word not in error] == []
    assert files(folder) == before


def test_an_option_that_was_renamed_still_works_and_says_so(folder, capsys):
    with pytest.raises(SystemExit):
        main(["directions", "digits", "--how=closed-form", "--examples", "photos", "photos"])
    first, second = capsys.readouterr().err.splitlines()
    assert "--how" in first
    assert "--method" in first
    assert "--method" in second, "the value of the option has arrived"
