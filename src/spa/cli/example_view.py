"""An example on a terminal: prompt, responses side by side with their scores, verdict, pairs.

Everything in it was written by models and strangers, so it goes through `harmless` first.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spa.cli.amounts import apart, distance_text
from spa.cli.example_parts import MORE, cut, data_section, section
from spa.cli.harmless import harmless, harmless_text
from spa.types import JsonValue, Objective, Scored
from spa.viewing.examples import BASE, Example
from spa.viewing.judging import changes, flips, has_fallen, mean_score

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["NARROW", "View", "example_text"]

NARROW = 100
"""Below so many columns responses stand one under the other."""

_COLUMN = 36  # least width of a response beside others
_LINES = 8
_PROMPT_LINES = 6
_PAIRS = 6
_COMPARED = 12  # columns of a score with its difference to another
_ALIKE = 0.4  # share of words in common from which differences are worth marking
_WORDS = 600  # longer texts are not compared word by word
_TRAILING = re.compile(r" +$", re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n")
_BETTER, _WORSE, _LOST = "green", "red", "yellow"


@dataclass(frozen=True, slots=True)
class View:
    """How examples are shown.

    Attributes:
        objectives: Those of the run, most important first.
        full: Show texts and pairs whole.
        stage: Show only what this stage made; None: everything.
        data: Show what is known of the prompt besides its text.
    """

    objectives: tuple[Objective, ...]
    full: bool = False
    stage: str | None = None
    data: bool = False

    def shows(self, *stages: str) -> bool:
        """Whether one of these stages is to be seen."""
        return self.stage is None or self.stage in stages

    @property
    def scores(self) -> bool:
        """Whether scores are to be seen."""
        return self.stage is None or not self.stage.startswith(
            ("prompts", "sample", "refine", "answer")
        )

    @property
    def texts(self) -> bool:
        """Whether what models wrote is to be seen."""
        return self.stage not in ("prompts", "denoise", "pairs")


def example_text(console: Console, example: Example, view: View) -> str:
    """One example as text, as wide as the console is, with its colours.

    Args:
        console: Where it will be printed.
        example: What.
        view: How.
    """
    with console.capture() as captured:
        _print(console, example, view)
    return _TRAILING.sub("", captured.get()).rstrip("\n") + "\n\n"


def _print(console: Console, example: Example, view: View) -> None:
    console.print(_header(example, view, console.width))
    console.print(_prompt(example, view, console))
    if view.data and example.prompt.meta:
        console.print(data_section(example.prompt.meta, full=view.full))
    if view.stage != "prompts":
        for part in _responses(example, view, console):
            console.print(part)
        narrow = console.width < NARROW
        for part in (*_verdict(example, view, narrow), *_pairs(example, view)):
            console.print(part)
        for part in (*_evaluations(example, view), *_failures(example, view)):
            console.print(part)
    console.print()


def _header(example: Example, view: View, width: int) -> Text:
    prompt = example.prompt
    where = "held out" if prompt.split == "heldout" else "train"
    title = Text.assemble(
        ("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 2 + " ", "dim"),
        (harmless(prompt.id, one_line=True), "bold"),
        (f"  {where}, round {example.round}  ", "dim"),
    )
    outcome = _outcome(example, view)
    rest = width - title.cell_len - outcome.cell_len - 2
    line = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * max(rest, 2)
    return Text.assemble(title, (line, "dim"), "  " if outcome else "", outcome)


def _outcome(example: Example, view: View) -> Text:
    """In a few words: what became of the example."""
    if example.prompt.split == "heldout":
        return _change(example, view)
    verdict = example.verdict
    if example.pairs:
        count = len(example.pairs)
        return Text(f"{count} pair{'' if count == 1 else 's'}", style=_BETTER)
    if example.unpaired:
        said = "kept, but no_pair"
    elif verdict is not None and not verdict.keep:
        said = f"lost at {verdict.lost_at.rpartition('/')[2]}: {verdict.reason}"
    elif example.failures:
        said = f"failed at {example.failures[0].stage}: {example.failures[0].reason}"
    else:
        return Text("" if verdict is None else "kept")
    return harmless_text(said, _LOST, one_line=True)


def _change(example: Example, view: View) -> Text:
    change = changes(example, view.objectives)
    if not example.responses:
        return Text("not answered", style="dim")
    if has_fallen(list(change.values())):
        return Text("fell", style=_WORSE)
    if has_fallen([None if each is None else -each for each in change.values()]):
        return Text("rose", style=_BETTER)
    if None in change.values():
        return Text("unscored", style=_LOST)
    return Text("no change" if change else "", style="dim")


def _prompt(example: Example, view: View, console: Console) -> RenderableType:
    text = Text()
    for message in example.prompt.messages:
        if text:
            text.append("\n")
        if len(example.prompt.messages) > 1 or message.role != "user":
            text.append(f"{message.role}: ", style="dim")
        text.append(harmless(message.content.strip()))
    lines = None if view.full else _PROMPT_LINES
    return Padding(cut(text, console, console.width - 2, lines), (0, 0, 1, 2), expand=False)


def _responses(example: Example, view: View, console: Console) -> Iterator[RenderableType]:
    rows = _rows(example, view, console.width)
    if console.width < NARROW or not view.texts:
        names = max((len(cell.name) for row in rows for cell in row), default=0)
        compared = any(any(cell.against.values()) for row in rows for cell in row)
        for cell in (each for row in rows for each in row):
            yield Padding(
                cell.stacked(names, console.width - 4, wide=compared), (0, 0, 0, 2), expand=False
            )
            if view.texts:
                yield Padding(cell.text(console, console.width - 4), (0, 0, 1, 4))
        if rows and not view.texts:
            yield Text()
        return
    for row in rows:
        widest = max(len(each) for each in rows)
        width = (console.width - 2 - 3 * (widest - 1)) // widest
        grid = Table.grid(padding=(0, 3, 0, 0))
        for _ in row:
            grid.add_column(width=width)
        grid.add_row(*(cell.head(width) for cell in row))
        grid.add_row(*(cell.text(console, width) for cell in row))
        yield Padding(grid, (0, 0, 1, 2))


def _rows(example: Example, view: View, width: int) -> list[list[_Cell]]:
    """Responses as they stand beside each other: a model a column, or as many as fit."""
    if example.prompt.split == "heldout":
        shown = [
            (model, group)
            for model, group in example.responses.items()
            if view.shows(f"answer-{model}", f"judge-answers-{model}")
            or (view.stage or "").startswith("evaluate-")
        ]
        count = max((len(group) for _, group in shown), default=0)
        return [
            [
                _heldout_cell(example, view, model, place)
                for model, group in shown
                if place < len(group)
            ]
            for place in range(count)
        ]
    cells = [
        _train_cell(example, view, each)
        for name, group in example.responses.items()
        if view.shows(*_MADE_BY[name], "denoise", "pairs")
        for each in group
    ]
    fit = max(1, min(len(cells), (width + 1) // (_COLUMN + 3)))
    if fit < len(cells):  # rows of about one length
        fit = -(-len(cells) // -(-len(cells) // fit))
    return [cells[start : start + fit] for start in range(0, len(cells), fit)]


_MADE_BY = {"sample": ("sample", "judge"), "refined": ("refine", "judge-refined")}


def _train_cell(example: Example, view: View, scored: Scored) -> _Cell:
    name, same = _short(scored.id, example), _same_as(scored, example)
    dropped = () if example.verdict is None else example.verdict.drop
    marks = ("dropped",) if scored.id in dropped else ()
    if scored.response.origin != "refined":
        return _Cell(scored, view, name, marks, same=same)
    samples = example.responses.get("sample", ())
    best = {o.name: max(_values(samples, o.name), default=None) for o in view.objectives}
    compared = view.scores and any(each is not None for each in best.values())
    of = "refined, \N{PLUS-MINUS SIGN} best sample" if compared else "refined"
    return _Cell(scored, view, name, marks, best, of, same)


def _heldout_cell(example: Example, view: View, model: str, place: int) -> _Cell:
    group = example.responses[model]
    scored = group[place]
    name = model if len(group) == 1 else f"{model} {_short(scored.id, example)}"
    base = example.responses.get(BASE, ())
    if model == BASE or not base:
        return _Cell(scored, view, name)
    before = {each.name: mean_score(base, each.name) for each in view.objectives}
    other = base[place].response.text if place < len(base) else None
    of = "" if len(base) == 1 else "\N{PLUS-MINUS SIGN} mean of base"
    same = BASE if other == scored.response.text else ""
    return _Cell(scored, view, name, (), before, of, same, other)


@dataclass(frozen=True, slots=True)
class _Cell:
    """One response.

    Attributes:
        scored: The response.
        view: How it is shown.
        name: What it is called.
        marks: What else is to be said of it.
        against: Objective to the score that its own is compared with.
        of: What it is and is compared with, for people.
        same: Name of an earlier response with the same text; empty if there is none.
        other: The text whose differences are marked.
    """

    scored: Scored
    view: View
    name: str
    marks: tuple[str, ...] = ()
    against: Mapping[str, float | None] = field(default_factory=dict)
    of: str = ""
    same: str = ""
    other: str | None = None

    def head(self, width: int) -> Text:
        """Name and scores, a line each."""
        text = Text.assemble((harmless(self.name), "bold"), self._marks())
        if self.view.scores:
            names = max((len(each.name) for each in self.view.objectives), default=0)
            names = min(names, max(width - 16, 8))
            for objective in self.view.objectives:
                name = harmless(objective.name)[:names]
                text.append(f"\n{name:<{names}}  ", style="dim")
                text.append_text(self._score(objective.name))
        return text

    def stacked(self, names: int, width: int, *, wide: bool) -> Text:
        """Name and scores on one line, so that those of several responses stand in columns."""
        text = Text.assemble((harmless(f"{self.name:<{names}}"), "bold"))
        if self.view.scores:
            for objective in self.view.objectives:
                score = self._score(objective.name)
                score.pad_right(max((_COMPARED if wide else 0) - score.cell_len, 0))
                text.append(f"  {harmless(objective.name)} ", style="dim").append_text(score)
        text.rstrip()
        marks = self._marks()
        if text.cell_len > width:
            return self.head(width)
        if marks and text.cell_len + marks.cell_len > width:
            text.append("\n" + " " * names)
        return text.append_text(marks)

    def text(self, console: Console, width: int) -> Text:
        """What was written, cut to some lines."""
        if self.same:
            return Text(f"the same text as {self.same}", style="dim italic")
        content = self.scored.response.text
        if not content.strip():
            return Text("(empty)", style=f"{_LOST} italic")
        shown = harmless(content.strip())
        if not self.view.full:
            shown = _BLANK.sub("\n", shown)
        text = Text(shown) if self.other is None else _differing(shown, harmless(self.other))
        if self.scored.response.finish_reason == "length":
            text.append(f" {MORE} [cut at its token limit]", style="dim italic")
        return cut(text, console, width, None if self.view.full else _LINES)

    def _marks(self) -> Text:
        text = Text(f"  {self.of}" if self.of else "", style="dim")
        for mark in self.marks:
            text.append(f"  {mark}", style=_LOST)
        return text

    def _score(self, objective: str) -> Text:
        score = self.scored.scores.get(objective)
        if score is None:
            return Text("not judged", style="dim")
        if score.value is None:
            return harmless_text(f"unscored: {score.reason}", _LOST, one_line=True)
        text = Text(f"{score.value:5.2f}")
        before = self.against.get(objective)
        if before is not None:
            difference = score.value - before
            text.append(f"  {_signed(difference)}", style=_style(difference))
        return text


def _verdict(example: Example, view: View, narrow: bool) -> Iterator[RenderableType]:
    verdict = example.verdict
    if verdict is None or not view.shows("denoise"):
        return
    names = [harmless(each.denoiser.rpartition("/")[2], one_line=True) for each in verdict.verdicts]
    widest = max(map(len, names), default=0)
    text = Text()
    for name, each in zip(names, verdict.verdicts, strict=True):
        text.append(f"{name:<{widest}}  ")
        text.append("kept     " if each.keep else "dropped  ", _BETTER if each.keep else _LOST)
        text.append(harmless(each.reason, one_line=True), "" if each.keep else _LOST)
        if figures := _figures(_unseen(each.details, view)):
            text.append(f"\n  {figures}" if narrow else f"  {figures}", "dim")
        text.append("\n")
    if not verdict.verdicts:
        said = "kept; no denoiser is in the recipe"
        if not verdict.keep:
            said = f"no group to denoise, lost at {verdict.lost_at}: {verdict.reason}"
        text.append(harmless(said, one_line=True))
    text.rstrip()
    yield section("denoise", text)


def _pairs(example: Example, view: View) -> Iterator[RenderableType]:
    if not example.pairs or not view.shows("pairs"):
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    names = [each.name for each in view.objectives]
    shown = example.pairs if view.full else example.pairs[:_PAIRS]
    for each in shown:
        pair = each.pair
        better, worse = _short(pair.chosen, example), _short(pair.rejected, example)
        why = "by the pair builder's own rule"
        if each.decided_by in names:
            place = names.index(each.decided_by)
            scores = pair.chosen_scores[place], pair.rejected_scores[place]
            why = f"by {each.decided_by}  {' > '.join(apart(*scores))}"
        grid.add_row(
            harmless_text(f"{better} over {worse}", one_line=True),
            harmless_text(why, one_line=True),
            Text(
                f"margin {distance_text(pair.margin)}, gap {distance_text(pair.gap)}", style="dim"
            ),
        )
    left = len(example.pairs) - len(shown)
    if left:
        grid.add_row(Text(f"{MORE} {left} more (--full)", style="dim"))
    yield section("pairs", grid)


def _evaluations(example: Example, view: View) -> Iterator[RenderableType]:
    """What evaluators noted of the trained policy, but for means of the scores above."""
    model = example.trained
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, record in example.evaluations.items():
        if not view.shows(f"evaluate-{name}"):
            continue
        own = {
            key.removeprefix(f"{model}:"): value
            for key, value in record.items()
            if key.startswith(f"{model}:") and value not in (0, None)
        }
        if own and (name.partition("/")[0] != "judge-scores" or view.stage is not None):
            grid.add_row(harmless_text(name, one_line=True), Text(_figures(own)))
    count = flips(example)
    if count and view.stage is None:
        grid.add_row(Text("flips"), Text(f"{count}: the order of what was shown decided", _LOST))
    if grid.row_count:
        yield section("evaluate", grid)


def _failures(example: Example, view: View) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for each in example.failures:
        if view.shows(each.stage):
            text = f"{_short(each.job, example)}: {each.reason}: {each.message}"
            grid.add_row(Text(each.stage), harmless_text(text, _LOST, one_line=True))
    if grid.row_count:
        yield section("failed", grid)


def _differing(text: str, other: str) -> Text:
    """The text with the words in bold that another one does not have at that place."""
    own, others = (re.findall(r"\s*\S+", each) for each in (text, other))
    if max(len(own), len(others)) > _WORDS:
        return Text(text)
    matcher = difflib.SequenceMatcher(
        None, [each.strip() for each in own], [each.strip() for each in others], autojunk=False
    )
    if matcher.ratio() < _ALIKE:
        return Text(text)
    found = Text()
    for kind, start, end, _, _ in matcher.get_opcodes():
        found.append("".join(own[start:end]), style="" if kind == "equal" else "bold")
    return found


def _figures(details: Mapping[str, JsonValue]) -> str:
    shown = (f"{key} {_value(value)}" for key, value in details.items() if value is not None)
    return harmless(", ".join(shown), one_line=True)


def _unseen(details: Mapping[str, JsonValue], view: View) -> Mapping[str, JsonValue]:
    """A denoiser's figures without the scores, which stand above."""
    if view.full or view.stage is not None:
        return details
    names = tuple(f".{each.name}" for each in view.objectives)
    return {key: value for key, value in details.items() if not key.endswith(names)}


def _value(value: JsonValue) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _values(group: Sequence[Scored], objective: str) -> list[float]:
    scores = (each.scores.get(objective) for each in group)
    return [score.value for score in scores if score is not None and score.value is not None]


def _same_as(scored: Scored, example: Example) -> str:
    """The first response with the same text, if that is another one."""
    for each in example.all_responses:
        if each.id == scored.id:
            return ""
        if each.response.text == scored.response.text:
            return _short(each.id, example)
    return ""


def _short(name: str, example: Example) -> str:
    return name.removeprefix(f"{example.prompt.id}/")


def _signed(difference: float) -> str:
    text = f"{difference:+.2f}"
    return " 0.00" if text in ("+0.00", "-0.00") else text


def _style(difference: float) -> str:
    return "dim" if abs(difference) < 0.005 else _BETTER if difference > 0 else _WORSE
