"""The files of a table or figure, and its section of the page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.reproduce.page import Section
from ffdwv_fast.reproduce.pictures import draw_differences, draw_learning_curves, draw_similarity
from ffdwv_fast.reproduce.plans import Arm, Plan
from ffdwv_fast.reproduce.tables import (
    Results,
    as_csv,
    as_json,
    markdown,
    records,
    row,
    time_records,
    times_markdown,
)
from ffdwv_fast.reproduce.words import answers, readings, recipes_of, settings


def table_section(
    plan: Plan,
    configs: Mapping[Arm, TrainConfig],
    results: Results,
    left_out: Sequence[str],
    folder: Path,
) -> Section:
    """Write a table as Markdown, CSV and JSON, its measured times likewise, and its pictures.

    Args:
        plan: whose.
        configs: what each arm asks for, in the table's order.
        results: finished runs by arm and seed.
        left_out: sentences on arms that cannot be trained.
        folder: for the files.
    """
    rows = [row(arm, plan.against, results) for arm in configs]
    said = answers(plan.questions, results) if plan.questions else readings(rows)
    text = markdown(plan, rows, said, [*settings(results), *left_out])
    times = times_markdown(rows)
    _write_table(folder / plan.name, text, records(plan, rows))
    _write_table(folder / f"{plan.name}-times", times, time_records(plan, rows))
    pictures = _drawn(draw_learning_curves, results, folder, plan.name)
    pictures += _drawn(draw_differences, rows, plan.against, folder, plan.name)
    key = "; ".join([plan.name, *recipes_of({arm: [config] for arm, config in configs.items()})])
    return Section(key, "\n".join(filter(None, [text, times])), pictures)


def similarity_section(
    plan: Plan, datasets: Sequence[str], sources: Sequence[str], folder: Path
) -> Section:
    """Draw S, print it, and write its numbers.

    Args:
        plan: whose.
        datasets: a picture for each, and
        sources: for each of these word vectors.
        folder: for the files.
    """
    pictures: list[Path] = []
    for dataset in datasets:
        for source in sources:
            pictures += _drawn(draw_similarity, dataset, source, folder)
    key = " ".join([plan.name, *datasets, *(Path(source).name for source in sources)])
    return Section(key, f"## {plan.title} ({', '.join(datasets)})\n", pictures)


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with replaced_file(path) as stream:
        stream.write(text.encode())


def _write_table(base: Path, text: str, found: Sequence[Mapping[str, object]]) -> None:
    for suffix, content in (("md", text), ("csv", as_csv(found)), ("json", as_json(found))):
        write_text(base.with_name(f"{base.name}.{suffix}"), content)


def _drawn(draw: Callable[..., list[Path]], *what: object) -> list[Path]:
    try:
        return [path for path in draw(*what) if path.suffix == ".png"]
    except ImportError as error:
        print(f"no picture: {error}")
        return []
