"""Where the line of each job of a stage lies, in 16 bytes a job."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from zlib import crc32

from spa.engine.lines import Place

__all__ = ["JobLines"]


class JobLines:
    """Where the line of each job lies, by the job's place among all jobs of the stage.

    Attributes:
        count: How many jobs have a line.
        without: Places of jobs that failed, and so have none.
    """

    def __init__(self) -> None:
        """Knows no line yet."""
        self.count = 0
        self.without: set[int] = set()
        self._starts = array("Q")
        self._lengths = array("I")  # 0 where there is no line
        self._ids = array("I")

    def add(self, place: int, job: str, where: Place) -> None:
        """Notes the line of a job; a later one takes the place of an earlier one."""
        if place >= len(self._starts):
            more = place + 1 - len(self._starts)
            for each in (self._starts, self._lengths, self._ids):
                each.extend([0] * (more + len(each) // 8))
        self.count += self._lengths[place] == 0
        self._starts[place], self._lengths[place] = where
        self._ids[place] = crc32(job.encode())

    def has(self, place: int, job: str) -> bool:
        """Whether a job has a line."""
        there = place < len(self._lengths) and self._lengths[place] > 0
        return there and self._ids[place] == crc32(job.encode())

    def ready(self, begin: int) -> int:
        """The first job from a place on that has no line and may get one."""
        at = begin
        while at < len(self._lengths) and (self._lengths[at] or at in self.without):
            at += 1
        return at

    def places(self, begin: int = 0, end: int | None = None) -> Iterator[Place]:
        """The lines of the jobs from one place to another, in the order of the jobs."""
        for at in range(begin, len(self._lengths) if end is None else end):
            if length := self._lengths[at]:
                yield self._starts[at], length
