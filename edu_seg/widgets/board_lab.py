"""`BoardLab`: the papers' leaderboards to explore: systems by score or by year, what each brought, and its classes against another's."""

from collections.abc import Mapping
from typing import Any

import traitlets

from edu_seg.figures import Board, board_bars, leaderboards, png
from edu_seg.widgets.base import CourseWidget, bundle

SCRIPTS = ("lab.js", "rf_geometry.js", "rf_image_view.js", "board_lab_words.js", "board_lab.js")


class BoardLab(CourseWidget):
    """Systems to point at: year, score, what each brought, and its difference to the one before, or to any other, class by class.

    Arguments: the boards (by default all of `leaderboards()`); board: which is shown first; order: "score" or "year"; measure: a class,
    or "" for the mean; against: the title of the line to compare with, or "" for the one before in this order. The last four are traits
    too: what the reader chooses can be read here, and what is set here is shown. Raises ValueError for a choice that is not there.
    """

    _esm = bundle(*SCRIPTS)
    board, order = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    measure, against = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)

    def __init__(self, boards: Mapping[str, Board] | None = None, board: str = "", order: str = "score", **chosen: str) -> None:
        self._boards = dict(leaderboards() if boards is None else boards)
        if not self._boards:
            raise ValueError("there is no board to show: give at least one")
        wanted = {"measure": "", "against": "", **chosen, "board": board or next(iter(self._boards)), "order": order}
        self._check(**wanted)
        super().__init__({"boards": [_data(name, board) for name, board in self._boards.items()]}, b"", "", **wanted)
        self._describe(None)

    def _check(self, board: str, order: str, measure: str, against: str) -> None:
        if board not in self._boards:
            raise ValueError(f"there is no board {board!r}: choose one of {', '.join(self._boards)}")
        self._boards[board].ordered(order, measure)
        titles = [row.title for row in self._boards[board].rows]
        if against and against not in titles:
            raise ValueError(f"{board} has no line {against!r}: there are {', '.join(titles)}")

    def set(self, board: str, order: str = "score", measure: str = "", against: str = "") -> None:
        """Shows another board. Raises ValueError where there is no such board, order, class or line."""
        self._check(board, order, measure, against)
        with self.hold_sync(), self.hold_trait_notifications():
            self.board, self.order, self.measure, self.against = board, order, measure, against

    @traitlets.observe("board", "order", "measure")
    def _describe(self, _: Any) -> None:
        board = self._boards.get(self.board)
        if board is not None and self.measure in ("", *board.classes):  # else the other trait is still to come
            self._alt = _alt(board, self.order, self.measure)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(board_bars(self._boards[self.board], self.order, self.measure))
        return super()._repr_mimebundle_(**options)


def _data(name: str, board: Board) -> dict[str, Any]:
    """A board as board_lab_words.js reads it."""
    rows = [
        {"title": row.title, "year": row.year, "mean": row.mean_iou, "brought": row.brought, "more": row.more, "iou": row.iou}
        for row in board.rows
    ]
    return {"id": name, "title": board.title, "source": board.source, "classes": board.classes, "rows": rows}


def _alt(board: Board, order: str, measure: str) -> str:
    rows, at = board.ordered(order, measure), board.place(measure)
    ends = [f"{row.title} ({row.year}) with {row.score(at):.1f}" for row in (rows[0], rows[-1])]
    return (
        f"{board.title}, {measure or 'mean'} IU of {len(rows)} systems by {order}, from {ends[0]} to {ends[1]} %; in JupyterLab you can "
        "choose a board, an order and a class, and point at any system."
    )
