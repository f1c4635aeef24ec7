"""BoardLab without a browser: what it sends, its order and sentences in node, its traits, picture and page."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from in_node import as_modules, needs_node, node
from PIL import Image

from edu_seg import figures
from edu_seg.figures import Board
from edu_seg.figures.boards import Row
from edu_seg.widgets import BoardLab
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.board_lab import SCRIPTS


def boards() -> dict[str, Board]:
    """Four systems and two classes; the order by year is another than by score, and "sky" has a third. And a board of means."""
    rows = (
        Row("A", 50.0, "", (40.0, 60.0), year=2014, brought="the first net"),
        Row("C", 70.0, "", (90.0, 50.0), year=2016, brought="a third thing"),
        Row("B", 60.0, "", (50.0, 70.0), year=2017, brought="little"),
        Row("B", 65.0, "COCO", (50.0, 80.0), year=2017, brought="little"),
    )
    means = (Row("A", 20.0, year=2014, brought="the first net"), Row("B", 20.04, "coarse", year=2017, brought="little"))
    return {"roads": Board("roads", "Roads, test", "X 2017", rows, ("road", "sky")), "means": Board("means", "Means", "Y", means)}


def test_the_boards_go_once_as_they_are() -> None:
    sent = BoardLab(boards()).data["boards"]
    assert [(board["id"], board["title"], board["source"], board["classes"]) for board in sent] == [
        ("roads", "Roads, test", "X 2017", ("road", "sky")),
        ("means", "Means", "Y", ()),
    ]
    assert sent[0]["rows"][3] == {"title": "B + COCO", "year": 2017, "mean": 65.0, "brought": "little", "more": "COCO", "iou": (50.0, 80.0)}
    assert [board["id"] for board in BoardLab().data["boards"]] == list(figures.leaderboards())


def test_every_line_of_the_papers_boards_has_a_year_and_what_it_brought() -> None:
    rows = [row for board in figures.leaderboards().values() for row in board.rows]
    assert len(rows) > 50
    assert all(2014 <= row.year <= 2017 and len(row.brought) > 5 and not row.brought.endswith(".") for row in rows)
    assert {row.more for row in rows} == {"", "COCO", "coarse"}


@pytest.mark.parametrize(
    ("order", "measure", "expected"),
    [
        ("score", "", ["A", "B", "B + COCO", "C"]),
        ("year", "", ["A", "C", "B", "B + COCO"]),
        ("score", "sky", ["C", "A", "B", "B + COCO"]),
        ("score", "road", ["A", "B", "B + COCO", "C"]),
    ],
)
def test_orders(order: str, measure: str, expected: list[str]) -> None:
    assert [row.title for row in boards()["roads"].ordered(order, measure)] == expected


def test_what_is_shown_is_chosen_from_both_sides() -> None:
    lab = BoardLab(boards())
    assert (lab.board, lab.order, lab.measure, lab.against) == ("roads", "score", "", "")
    lab.set("roads", "year", "sky", "A")
    assert (lab.board, lab.order, lab.measure, lab.against) == ("roads", "year", "sky", "A")
    assert repr(lab) == repr(BoardLab(boards(), "roads", "year", measure="sky", against="A"))
    lab.set("means")
    assert (lab.board, lab.order, lab.measure, lab.against) == ("means", "score", "", "")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"board": "none"}, "no board 'none': choose one of roads, means"),
        ({"board": "roads", "order": "name"}, "one of score, year, not 'name'"),
        ({"board": "roads", "measure": "tree"}, "roads has no score for 'tree': there are road, sky"),
        ({"board": "means", "measure": "sky"}, "means has no score for 'sky': there are means only"),
        ({"board": "means", "against": "C"}, "means has no line 'C': there are A, B"),
    ],
)
def test_what_is_not_there_is_refused(wanted: dict[str, str], words: str) -> None:
    lab = BoardLab(boards())
    before = repr(lab)
    with pytest.raises(ValueError, match=words):
        lab.set(**wanted)
    with pytest.raises(ValueError, match=words):
        BoardLab(boards(), **wanted)
    assert repr(lab) == before


def test_no_board_at_all() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        BoardLab({})


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_modules(SCRIPTS, tmp_path_factory.mktemp("js"))


@needs_node
@pytest.mark.parametrize("order", figures.ORDERS)
def test_the_browser_sorts_as_python_does(modules: Path, order: str) -> None:
    """On every board of the papers, by the mean and by each class."""
    script = """
import { ordered } from "./board_lab_words.mjs";
const titles = (board, order, at) => ordered(board.rows, order, at).map(({ title }) => title);
console.log(JSON.stringify(data.boards.map((board) => [null, ...board.classes.keys()].map((at) => titles(board, data.order, at)))));
"""
    found = node(script, BoardLab().data | {"order": order}, modules)
    for board, lists in zip(figures.leaderboards().values(), found, strict=True):
        for measure, titles in zip(["", *board.classes], lists, strict=True):
            assert titles == [row.title for row in board.ordered(order, measure)], (board.id, measure)


@needs_node
def test_sentences(modules: Path) -> None:
    script = """
import { classWords, ordered, rowWords, signed } from "./board_lab_words.mjs";
const words = (board, order, at, place, against) => {
  const rows = ordered(board.rows, order, at);
  return rowWords(rows, rows[place], { order, measure: at === null ? "" : board.classes[at], at, against });
};
const [roads, means] = data.boards;
const rows = ordered(roads.rows, "score", null);
console.log(JSON.stringify([
  words(roads, "score", null, 0, ""), words(roads, "year", null, 2, ""), words(roads, "score", 1, 3, "C"),
  words(means, "score", null, 1, ""),
  words(roads, "score", null, 0, "A"), classWords(rows, rows[3], roads.classes, 1, ""), classWords(rows, rows[0], roads.classes, 0, ""),
  [0.04, -0.04, 3, -2.5].map(signed).join(" "),
]));
"""
    found = [words.replace("\xa0", " ") for words in node(script, BoardLab(boards()).data, modules)]
    assert found == [
        "A, 2014, 1 of 4 by score: 50.0 % mean IU. It brought the first net.",
        "B, 2017, 3 of 4 by year: 60.0 % mean IU, 10.0 points less than C, the one before. It brought little.",
        "B + COCO, 2017, 4 of 4 by score: 80.0 % sky IU, 30.0 points more than C. It brought little. Trained on COCO as well.",
        "B + coarse, 2017, 2 of 2 by score: 20.0 % mean IU, no more than A, the one before. It brought little. "
        "Trained on coarse labels as well.",
        "A, 2014, 1 of 4 by score: 50.0 % mean IU. It brought the first net.",
        "C on sky: 50.0 % IU, 30.0 points less than B + COCO, the one before. Rank 4 of 4 systems on this class; "
        "rank 2 of the system's own 2 classes.",
        "A on road: 40.0 % IU. Rank 4 of 4 systems on this class; rank 2 of the system's own 2 classes.",
        "±0.0 ±0.0 +3.0 −2.5",
    ]


def test_the_repr_and_the_picture_follow_the_choice() -> None:
    lab, other = BoardLab(boards()), BoardLab(boards(), order="year")
    bundles = [one._repr_mimebundle_()[0] for one in (lab, other)]
    assert bundles[0]["text/plain"] == repr(lab)
    assert repr(lab).startswith("BoardLab: Roads, test, mean IU of 4 systems by score, from A (2014) with 50.0 to C (2016) with 70.0")
    assert bundles[0]["text/html"] != bundles[1]["text/html"]
    other.set("roads")
    assert other._repr_mimebundle_()[0]["text/html"] == bundles[0]["text/html"]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert (picture.format, picture.size[0] > 1000) == ("PNG", True)


def test_the_front_end_asks_for_nothing() -> None:
    code = str(BoardLab._esm) + str(BoardLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(name for name in SCRIPTS if name.startswith("board_lab")) == sorted(path.name for path in FOLDER.glob("board_lab*.js"))
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(BoardLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 20
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = BoardLab(boards(), "roads", "year", against="A")
    text = lab.export(tmp_path / "lab.html", title="1 & 2").read_text(encoding="utf-8")
    assert "<title>1 &amp; 2</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    sent = json.loads(json.dumps(lab.data))
    assert state == {"data": sent, "board": "roads", "order": "year", "measure": "", "against": "A"}
