"""python -m edu_seg data: what a folder holds, and downloads from a server on this machine that breaks off, cheats and forgets."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from edu_seg.__main__ import main
from edu_seg.datasets import SBD, checking, fetching
from edu_seg.datasets.checking import check_folder
from edu_seg.datasets.fetching import fetch
from edu_seg.datasets.published import SETS, Archive
from edu_seg.datasets.unpacking import unpack

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


# A folder


def camvid(root: Path) -> Path:
    """Three pairs for training and two for validation, of 360 × 480."""
    for split, count in {"train": 3, "val": 2}.items():
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        lines = []
        for number in range(count):
            Image.new("RGB", (480, 360)).save(root / split / f"{number}.png")
            Image.fromarray(np.full((360, 480), number, np.uint8)).save(root / f"{split}annot" / f"{number}.png")
            lines.append(f"/SegNet/CamVid/{split}/{number}.png /SegNet/CamVid/{split}annot/{number}.png\n")
        (root / f"{split}.txt").write_text("".join(lines))
    return root


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """CamVid's row with the counts of the folder above."""
    monkeypatch.setitem(SETS, "camvid", replace(SETS["camvid"], counts={"train": 3, "val": 2}))


@pytest.mark.usefixtures("small")
def test_a_folder_that_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "camvid", "--root", str(camvid(tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert ["train", "3", "3", "3", "360", "×", "480", "3", "of", "11", "0.0%"] in rows
    assert ["val", "2", "2", "2", "360", "×", "480", "2", "of", "11", "0.0%"] in rows
    assert any(line.startswith("note: test:") and "no such list" in line for line in lines)
    assert "note: no pixel of the sample has the class road, pavement, tree, sign symbol, fence and 3 more" in lines
    assert lines[-1] == "no problem found"


@pytest.mark.usefixtures("small")
def test_what_is_wrong_is_listed_and_ends_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = camvid(tmp_path)
    (root / "train" / "0.png").write_bytes((root / "train" / "0.png").read_bytes()[:200])
    Image.fromarray(np.full((360, 480), 12, np.uint8)).save(root / "trainannot" / "1.png")
    for folder in ("train", "trainannot"):
        Image.new("L", (4, 2)).save(root / folder / "2.png")
    (root / "val.txt").write_text("train/1.png trainannot/1.png\n")
    problems = check_folder("camvid", root).problems
    for said in ("0.png: truncated", "label values [12]", "2.png: 2 × 4 pixels", "val: 1 images where", "in train and in val, as are 1"):
        assert sum(said in problem for problem in problems) == 1 + (said == "label values [12]")
    assert main(["data", "camvid", "--root", str(root)]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("problem: ") == len(problems) == 6
    assert captured.err == f"error: {root}: what is wrong there (6) is listed above.\n"


@pytest.mark.usefixtures("small")
def test_a_sample_is_spread_and_a_missing_file_is_always_found(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / "train" / "1.png").write_bytes(b"")
    assert check_folder("camvid", root, sample=2).problems == []  # the first and the last
    (root / "valannot" / "1.png").unlink()
    (problem,) = check_folder("camvid", root, sample=2).problems
    assert "valannot" in problem
    assert "not there (1 of 4 files missing)" in problem
    with pytest.raises(ValueError, match="sample = 0"):
        check_folder("camvid", root, sample=0)


def test_labels_are_compared_with_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {"trainannot/1.png": hashlib.sha256(bytes([1]) * (360 * 480)).hexdigest(), "valannot/1.png": "0" * 64}
    monkeypatch.setitem(SETS, "camvid", replace(SETS["camvid"], counts={"train": 3, "val": 2}, label_digests=digests))
    (problem,) = check_folder("camvid", camvid(tmp_path)).problems
    assert "valannot" in problem
    assert "its labels are not the published ones" in problem


def test_the_real_camvid(data_root: Path) -> None:
    report = check_folder("camvid", data_root / "CamVid", sample=2)
    assert report.problems == []
    assert any("labels of 5 named files" in note for note in report.notes)


@pytest.mark.parametrize("above", [True, False])
def test_sbd_by_itself(above: bool, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    for name in ("img", "cls"):
        (folder / name).mkdir(parents=True)
    for name, value in {"p": 3, "q": 20, "r": 21}.items():
        Image.new("RGB", (4, 2)).save(folder / "img" / f"{name}.jpg")
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": np.full((2, 4), value, np.uint8)}})
    (folder / "train.txt").write_text("q\np\n")
    (folder / "val.txt").write_text("r\n")
    dataset = SBD(tmp_path if above else folder)
    assert [int(dataset[i][1][0, 0]) for i in range(2)] == [20, 3]
    assert (dataset.num_classes, len(dataset.classes), dataset.palette.shape) == (21, 21, (21, 3))
    report = check_folder("sbd", tmp_path)
    assert [split.count for split in report.splits] == [2, 1]
    assert sum("r.mat: label values [21]" in problem for problem in report.problems) == 1
    (folder / "cls" / "p.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"p\.mat: listed in .*train\.txt but not there"):
        SBD(tmp_path)


def voc(root: Path, train: str, val: str) -> Path:
    """VOC's layout: an image for each letter."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in train + val:
        Image.new("RGB", (4, 2)).save(root / "JPEGImages" / f"{name}.jpg")
        Image.new("L", (4, 2)).save(root / "SegmentationClass" / f"{name}.png")
    for split, names in {"train": train, "val": val}.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
    return root


def sbd(root: Path, train: str, val: str) -> Path:
    for name in ("img", "cls"):
        (root / name).mkdir(parents=True)
    for name in train + val:
        Image.new("RGB", (4, 2)).save(root / "img" / f"{name}.jpg")
        savemat(root / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": np.ones((2, 4), np.uint8)}})
    for split, names in {"train": train, "val": val}.items():
        (root / f"{split}.txt").write_text("\n".join(names))
    return root


@pytest.mark.parametrize(("due", "problems"), [(5, []), (6, ["train_aug: 5 images where the published list has 6"])])
def test_voc_and_sbd_together(
    due: int, problems: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SETS["voc"].with_sbd == 10_582
    monkeypatch.setitem(SETS, "voc", replace(SETS["voc"], counts={"train": 2, "val": 2}, with_sbd=due))
    folders = voc(tmp_path / "voc", "ab", "cd"), sbd(tmp_path / "sbd", "bcx", "dyz")
    assert check_folder("voc", folders[0], sbd_root=folders[1]).problems == problems  # a, b, x, y, z: neither c nor d
    command = ["data", "voc", "--root", str(folders[0]), "--sbd", str(folders[1])]
    assert main(command) == (2 if problems else 0)
    assert ["train_aug", "5", str(due), "5"] in [line.split()[:4] for line in capsys.readouterr().out.splitlines()]
    assert main(["data", "camvid", "--root", str(tmp_path), "--sbd", str(folders[1])]) == 2
    assert "SBD adds to voc, not to camvid" in capsys.readouterr().err
    (folders[1] / "cls" / "z.mat").unlink()
    assert any("z.mat: listed in" in problem for problem in check_folder("voc", folders[0], sbd_root=folders[1]).problems)


def test_own_data_have_no_counts_to_meet(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(5):
        Image.new("RGB", (6 + number, 4)).save(tmp_path / "images" / f"{number}.jpg")
        Image.new("L", (6 + number, 4), 255 if number == 4 else 1).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    report = check_folder("folder", tmp_path)
    assert report.problems == []
    assert "note: no pixel of the sample has the class one" in report.to_text()
    assert {split.split: split.count for split in report.splits} == {"train": 4, "val": 1}
    assert "4–4 × " in report.to_text()


@pytest.mark.parametrize("name", SETS)
def test_each_row_is_whole(name: str) -> None:
    info = SETS[name]
    assert all((info.title, info.home, info.licence, info.layout, info.labels, info.sizes))
    assert (name == "folder") == (not info.counts)
    text = checking.describe(info)
    assert info.home in text
    assert ("by --download" in text) == (name not in ("cityscapes", "folder"))
    assert name in checking.overview()


def test_words_without_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    assert main(["data"]) == 0
    assert capsys.readouterr().out == checking.overview() + "\n"
    assert main(["data", "voc"]) == 0
    assert capsys.readouterr().out.endswith("No folder to check: give --root FOLDER, or set EDU_SEG_DATA.\n")
    for arguments, said in (
        (["coco"], "no data set is called 'coco': there are camvid, voc"),
        (["voc", "--download"], "say where to"),
        (["voc", "--root", str(tmp_path / "gone")], "gone: no such folder. Home page: host.robots"),
        (["cityscapes", "--root", str(tmp_path), "--download"], "cannot be downloaded from here; get it from www.cityscapes-dataset.com"),
    ):
        assert main(["data", *arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert said in error
    monkeypatch.setenv("EDU_SEG_DATA", str(tmp_path))
    assert checking.usual_root(SETS["voc"]) == tmp_path / "VOCdevkit" / "VOC2012"
    assert checking.usual_root(SETS["folder"]) is None


# A server


@dataclass
class Manner:
    """How the server behaves. cuts: after how many bytes it hangs up, one answer after the other. status: instead of an answer."""

    content: bytes = CONTENT
    ranges: bool = True
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    manner: Manner

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        manner, content = self.manner, self.manner.content
        manner.asked.append(asked := self.headers.get("Range"))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and manner.ranges else 0
        code = manner.status.pop(0) if manner.status else 416 if start and start >= len(content) else 206 if start else 200
        self.send_response(code)
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if code == 416:
            self.send_header("Content-Range", f"bytes */{len(content)}")
        body = content[start:] if code in (200, 206) else b""
        if manner.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: manner.cuts.pop(0)] if manner.cuts and body else body)


@pytest.fixture
def manner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manner]:
    """The manner of a server at `manner.url`."""
    monkeypatch.setenv("no_proxy", "*")
    Handler.manner = Manner()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(Manner, "url", f"http://127.0.0.1:{server.server_port}/set.zip", raising=False)
        yield Handler.manner
        server.shutdown()
        thread.join()


def url(manner: Manner) -> str:
    return manner.url  # type: ignore[attr-defined]


def test_a_whole_file(manner: Manner, tmp_path: Path) -> None:
    seen = []
    target = fetch(url(manner), tmp_path / "set.zip", DIGEST, progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(url(manner), target, DIGEST) == target
    assert manner.asked == [None]  # not fetched again


def test_a_connection_cut_in_the_middle_is_taken_up(manner: Manner, tmp_path: Path) -> None:
    manner.cuts = [100_000, 1000]
    told: list[str] = []
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST, pause=0, tell=told.append).read_bytes() == CONTENT
    assert manner.asked == [None, "bytes=100000-", "bytes=101000-"]
    assert told[0] == "the connection was lost at 100000 of 300000 bytes; trying again at 100000 bytes"


def test_a_second_call_goes_on_where_the_first_ended(manner: Manner, tmp_path: Path) -> None:
    manner.cuts = [70_000]
    with pytest.raises(ConnectionError, match=r"lost at 70000 of 300000 bytes; .*set\.zip\.part holds 70000 bytes and is kept"):
        fetch(url(manner), tmp_path / "set.zip", DIGEST, attempts=1)
    assert (tmp_path / "set.zip.part").read_bytes() == CONTENT[:70_000]
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST).read_bytes() == CONTENT
    assert manner.asked == [None, "bytes=70000-"]


def test_a_part_that_is_already_whole(manner: Manner, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST).read_bytes() == CONTENT
    assert manner.asked == ["bytes=300000-"]


def test_a_part_that_is_too_long_is_fetched_anew(manner: Manner, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST).read_bytes() == CONTENT


def test_a_server_that_cannot_resume(manner: Manner, tmp_path: Path) -> None:
    manner.ranges = False
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    told: list[str] = []
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST, tell=told.append).read_bytes() == CONTENT
    assert told == ["the server cannot resume: starting again from the beginning"]


def test_a_server_that_does_not_say_how_much(manner: Manner, tmp_path: Path) -> None:
    manner.length = False
    assert fetch(url(manner), tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(manner: Manner, tmp_path: Path) -> None:
    manner.content = CONTENT[:-1] + b"?"
    with pytest.raises(OSError, match=r"set\.zip\.part: its sha256 is .*, not .* has been removed"):
        fetch(url(manner), tmp_path / "set.zip", DIGEST)
    (tmp_path / "set.zip").write_bytes(b"older")
    with pytest.raises(OSError, match=r"set\.zip: its sha256 is"):
        fetch(url(manner), tmp_path / "set.zip", DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_busy_and_one_that_has_nothing(manner: Manner, tmp_path: Path) -> None:
    manner.status = [503, 500]
    assert fetch(url(manner), tmp_path / "set.zip", DIGEST, pause=0).read_bytes() == CONTENT
    manner.status = [404]
    with pytest.raises(OSError, match=r"the server says 404 Not Found; see the set's home page"):
        fetch(url(manner), tmp_path / "other.zip")


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    pauses: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", pauses.append)
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/set: no connection \(.*refused\)"):
        fetch("http://127.0.0.1:9/set", tmp_path / "set")
    assert pauses == [1, 2, 4]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, a disk that is always full")
def test_a_full_disk_keeps_what_is_there(manner: Manner, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"set\.zip\.part: the disk is full; the 0 bytes are kept: make room"):
        fetch(url(manner), tmp_path / "set.zip", DIGEST)
    assert (tmp_path / "set.zip.part").is_symlink()


def test_too_little_room_is_seen_before(manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:1000])
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 298_999}))
    with pytest.raises(OSError, match=r"part: 299000 bytes are to come, and the disk has 298999 free"):
        fetch(url(manner), tmp_path / "set.zip", DIGEST)
    assert (tmp_path / "set.zip.part").read_bytes() == CONTENT[:1000]


def test_an_interrupt_says_that_the_part_is_kept(manner: Manner, tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fetch(url(manner), tmp_path / "set.zip", progress=interrupt)
    assert "set.zip.part is kept" in caught.value.__notes__[0]
    assert (tmp_path / "set.zip.part").stat().st_size > 0


# Archives


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        if link is not None:
            info = tarfile.TarInfo("set/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            file.addfile(info)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_only_what_is_below_the_prefix_is_unpacked(pack, tmp_path: Path) -> None:
    archive = written(tmp_path / "archive", pack({"set/a.txt": b"1", "set/deep/b.txt": b"2", "other/c.txt": b"3"}))
    assert unpack(archive, tmp_path / "out", "set/") == 2
    assert files(tmp_path / "out") == {"a.txt": b"1", "deep/b.txt": b"2"}
    with pytest.raises(ValueError, match=r"archive: nothing in it begins with 'gone/'"):
        unpack(archive, tmp_path / "out", "gone/")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["set/../../evil", "set//evil", "set/a\\..\\evil", "set/C:evil"])
def test_nothing_is_written_outside(pack, name: str, tmp_path: Path) -> None:
    archive = written(tmp_path / "archive", pack({name: b"1"}))
    with pytest.raises(ValueError, match=r"archive: refused, since"):
        unpack(archive, tmp_path / "in" / "out", "set/")
    assert set(files(tmp_path)) == {"archive"}


def test_no_link_to_outside(tmp_path: Path) -> None:
    archive = written(tmp_path / "archive", tarred({"set/a": b"1"}, link="../../secret"))
    with pytest.raises(ValueError, match=r"archive: refused, since"):
        unpack(archive, tmp_path / "out", "set/")


@pytest.mark.parametrize("content", [b"", b"no archive", tarred({"a": CONTENT})[:-100_000], zipped({"a": CONTENT})[:-10]])
def test_a_damaged_archive(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="archive: damaged or not an archive"):
        unpack(written(tmp_path / "archive", content), tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, a disk that is always full")
@pytest.mark.parametrize("pack", [zipped])
def test_a_full_disk_while_unpacking(pack, tmp_path: Path) -> None:
    archive = written(tmp_path / "archive", pack({"a": CONTENT}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"out: the disk is full; .*archive is kept"):
        unpack(archive, tmp_path / "out")
    assert archive.is_file()


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_the_command_downloads_unpacks_and_checks(
    pack, manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manner.content = pack({f"top/CamVid/{name}": content for name, content in files(camvid(tmp_path / "made")).items()})
    manner.cuts = [500]
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    archive = Archive(url(manner), "top/CamVid/", "md5:" + hashlib.md5(manner.content).hexdigest())
    monkeypatch.setitem(SETS, "camvid", replace(SETS["camvid"], counts={"train": 3, "val": 2}, archive=archive))
    monkeypatch.setenv("EDU_SEG_DATA", str(tmp_path / "data"))
    for _ in range(2):  # the second time there is nothing to do
        assert main(["data", "camvid", "--download"]) == 0
        assert capsys.readouterr().out.endswith("no problem found\n")
    assert manner.asked == [None, "bytes=500-"]
    assert files(tmp_path / "data" / "CamVid") == files(tmp_path / "made")
