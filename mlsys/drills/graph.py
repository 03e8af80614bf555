"""A whiteboard as text: one arrow a line, `feature store -> server: online features`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

MOST_ARROWS, MOST_BOXES = 300, 100
ARROWS = str.maketrans({"→": "->", "⇒": "->", "⟶": "->", "←": "<-"})


@dataclass(frozen=True)
class Arrow:
    """`what` moves from `source` to `target`; `line` of the text, from 1."""

    source: str
    target: str
    what: str
    line: int


@dataclass(frozen=True)
class Graph:
    """Boxes in order of appearance, and the arrows between them.

    >>> board = Graph.parse("store -> server: features\\nserver -> log -> store")
    >>> board.boxes, board.reaches("log", "server")
    (('store', 'server', 'log'), True)
    """

    arrows: tuple[Arrow, ...]
    alone: tuple[str, ...] = ()
    """Boxes that were named on a line of their own and have no arrow."""

    @classmethod
    def parse(cls, text: str) -> Graph:
        """Read lines `a -> b: what`, `a -> b -> c`, `b <- a`, `a, b -> c`; # starts a comment.

        Raises `ValueError`: what a board has to hold, and which line does not.
        """
        arrows: list[Arrow] = []
        names: dict[str, None] = {}
        for number, line in enumerate(text.split("\n"), 1):
            drawn = re.sub(r"(^|\s)#.*", "", line).translate(ARROWS).replace("=>", "->").strip()
            if not drawn:
                continue
            path, _, what = drawn.partition(":")
            here = f"line {number} of the board, {line.strip()!r},"
            if re.search("->|<-", what):
                raise ValueError(f"boxes and arrows first, then one colon and what moves; {here} has an arrow behind "
                                 "the colon: write two lines, or say it without an arrow")  # fmt: skip
            if "<-" in path and "->" in path:
                raise ValueError(f"arrows of one direction on a line; {here} has both: write two lines")
            ends = [[_name(box) for box in side.split(",")] for side in re.split("-+>|<-+", path)]
            if "<-" in path:
                ends.reverse()
            if re.search(r"--|<=|\s[-=]\s", re.sub("-+>|<-+", "", path)):
                raise ValueError(f"lines like 'feature store -> server'; {here} has a line without a head: type ->")
            if not all(name for side in ends for name in side):
                raise ValueError(f"lines like 'feature store -> server: online features'; {here} has "
                                 f"{'an arrow' if len(ends) > 1 else 'a place'} without a box")  # fmt: skip
            names |= dict.fromkeys(name for side in ends for name in side)
            drawn_here = sum(len(left) * len(right) for left, right in pairwise(ends))
            if len(arrows) + drawn_here > MOST_ARROWS or len(names) > MOST_BOXES:
                raise ValueError(f"at most {MOST_BOXES} boxes and {MOST_ARROWS} arrows: nobody can read such a board")
            for left, right in pairwise(ends):
                arrows += [Arrow(a, b, what.strip(), number) for a in left for b in right]
        drawn_boxes = {end for arrow in arrows for end in (arrow.source, arrow.target)}
        return cls(tuple(arrows), tuple(name for name in names if name not in drawn_boxes))

    @property
    def boxes(self) -> tuple[str, ...]:
        """Every box, in order of appearance."""
        drawn = dict.fromkeys(end for arrow in self.arrows for end in (arrow.source, arrow.target))
        return (*drawn, *(name for name in self.alone if name not in drawn))

    def renamed(self, name: Callable[[str], str]) -> Graph:
        """The same board with every box called what `name` says."""
        arrows = [Arrow(name(a.source), name(a.target), a.what, a.line) for a in self.arrows]
        drawn = {end for arrow in arrows for end in (arrow.source, arrow.target)}
        return Graph(tuple(arrows), tuple(box for box in dict.fromkeys(map(name, self.alone)) if box not in drawn))

    def has(self, source: str, target: str) -> bool:
        """Whether an arrow leads from one box straight to the other."""
        return any(arrow.source == source and arrow.target == target for arrow in self.arrows)

    def after(self, box: str) -> set[str]:
        """Boxes that an arrow from this one leads to."""
        return {arrow.target for arrow in self.arrows if arrow.source == box}

    def before(self, box: str) -> set[str]:
        """Boxes with an arrow to this one."""
        return {arrow.source for arrow in self.arrows if arrow.target == box}

    def reaches(self, source: str, target: str) -> bool:
        """Whether one or more arrows lead from one box to the other."""
        seen: set[str] = set()
        ends = self.after(source)
        while ends - seen:
            seen |= ends
            ends = set().union(*(self.after(box) for box in ends))
        return target in seen


def _name(box: str) -> str:
    return re.sub(r"\s+", " ", box).strip(" .;[]()").lower()
