"""The worst mistakes: wrong predictions that give the true class the least probability."""

from collections.abc import Mapping
from typing import NamedTuple

from ffdwv_fast.report.images import data_uri
from ffdwv_fast.report.predictions import Predictions
from ffdwv_fast.report.runs import Group, ReportRun
from ffdwv_fast.report.section import Report, Section

MOST_PROBABLE = 3


class Mistake(NamedTuple):
    """A wrong prediction.

    Attributes:
        group: the name of the run's group.
        seed: of the run.
        index: of the image among those evaluated on, from 0.
        true: class.
        predicted: class.
        probability: of the true class, 0 to 1.
        predicted_probability: of the predicted class, 0 to 1.
        most_probable: the classes that the network finds most probable, with their probabilities.
        runs: how many runs of the group have this image.
        wrong_in: how many of these are wrong about it.
        picture: the image, a data URI.
    """

    group: str
    seed: int
    index: int
    true: str
    predicted: str
    probability: float
    predicted_probability: float
    most_probable: tuple[tuple[str, float], ...]
    runs: int
    wrong_in: int
    picture: str


def _content(report: Report) -> Mapping[str, object] | None:
    if not report.predicted or not report.most_mistakes:
        return None
    most = report.most_mistakes
    mistakes = [m for group in report.predicted for m in worst_mistakes(group, most)]
    return {
        "mistakes": mistakes,
        "most": most,
        "groups": [group.name for group in report.predicted],
        "true_classes": sorted({m.true for m in mistakes}),
        "predicted_classes": sorted({m.predicted for m in mistakes}),
    }


def worst_mistakes(group: Group, most: int) -> list[Mistake]:
    """The wrong predictions of a group's runs, the least probable true class first.

    An image is there once, with the run that is most wrong about it. Runs share their images, by
    index, but for those that hold out validation images, which the seed draws.

    Args:
        group: with predictions.
        most: how many.
    """
    found: dict[object, list[tuple[float, ReportRun, Predictions, int]]] = {}
    shared = group.evaluated_on == "test"
    for run, predictions in group.predicted:
        own = predictions.probabilities.gather(1, predictions.labels[:, None])[:, 0]
        for index in predictions.wrong.nonzero()[:, 0].tolist():
            image = index if shared else (run.config.seed, index)
            found.setdefault(image, []).append((float(own[index]), run, predictions, index))
    worst = [(min(wrong, key=lambda w: w[0]), len(wrong)) for wrong in found.values()]
    worst.sort(key=lambda entry: entry[0][0])
    runs = len(group.predicted) if shared else 1
    return [_mistake(group, *entry, runs, wrong_in) for entry, wrong_in in worst[:most]]


def _mistake(
    group: Group,
    probability: float,
    run: ReportRun,
    predictions: Predictions,
    index: int,
    runs: int,
    wrong_in: int,
) -> Mistake:
    names, probabilities = predictions.class_names, predictions.probabilities[index]
    top = probabilities.topk(min(MOST_PROBABLE, len(names)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    predicted = int(predictions.predicted[index])
    return Mistake(
        group=group.name,
        seed=run.config.seed,
        index=index,
        true=names[int(predictions.labels[index])],
        predicted=names[predicted],
        probability=probability,
        predicted_probability=float(probabilities[predicted]),
        most_probable=tuple((names[label], value) for label, value in pairs),
        runs=runs,
        wrong_in=wrong_in,
        picture=data_uri(predictions.images[index]),
    )


MISTAKES = Section("mistakes", "The worst mistakes", _content)
