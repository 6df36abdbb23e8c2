"""Objects of S3, on a server of this machine: listed, read, restored; each failure one line."""

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.batch import addresses
from sfumato.batch.sources import listed
from sfumato.core.errors import DataError
from tests.batch.test_sources import png

reason = "needs a server of objects: pip install 'moto[server]' s3fs"
pytest.importorskip("s3fs", reason=reason)
moto = pytest.importorskip("moto.server", reason=reason)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The name of a bucket with two pictures and a text, which is reached by environment variables alone."""
    import s3fs

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    nowhere = str(tmp_path_factory.mktemp("home") / "none")
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "the-secret", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_CONFIG_FILE": nowhere}.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem()
        system.mkdir("photos")
        for name, content in (("a.png", png(1)), ("deep/b.png", png(2)), ("note.txt", b"no picture")):
            with system.open(f"photos/{name}", "wb") as file:
                file.write(content)
        yield "s3://photos"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.filterwarnings("ignore")  # of the server and of its packages
def test_pictures_of_a_bucket_are_listed_and_restored(bucket, tmp_path):
    assert [str(name) for _, name in listed([bucket])] == ["a.png", "deep/b.png"]
    assert [str(name) for _, name in listed([f"{bucket}/*.png"])] == ["a.png"]
    entries = sf.restore_pictures([bucket], tmp_path / "out", sf.RestorationRequest(method="median"))
    assert [entry.source for entry in entries] == ["s3://photos/a.png", "s3://photos/deep/b.png"]
    with addresses.opened(f"{bucket}/a.png") as file:
        content = file.read()
    expected = np.asarray(sf.restore(content, method="median"))
    assert torch.equal(torch.from_numpy(np.array(Image.open(tmp_path / "out" / "a.png"))), torch.from_numpy(expected.copy()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["/*.jpg", "/nothing", "-of-nobody"])
def test_what_is_not_there_is_one_line_without_a_key(bucket, place):
    with pytest.raises(DataError) as error:
        listed([bucket + place])
    assert "\n" not in str(error.value)
    assert "the-secret" not in str(error.value)
