"""The command-line options of the soft targets, for every command that needs S."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.alias_file import read_alias_file
from ffdwv_fast.semantics.bundled import BUNDLED_SOURCE
from ffdwv_fast.semantics.class_vectors import class_vectors
from ffdwv_fast.semantics.names import checked_names
from ffdwv_fast.semantics.similarity_matrix import (
    METRICS,
    distance_matrix,
    parse_temperature,
    resolve_temperature,
    similarity_from_distances,
)

PAPER_TEMPERATURE = "1"  # no other is in its equation 7


@dataclass(frozen=True)
class SimilarityResult:
    """S and what it was computed from.

    Attributes:
        names: The C class names.
        vectors: ``[C, D]`` float32 class vectors.
        distances: ``[C, C]`` float64, equation 6.
        matrix: S, ``[C, C]`` float32, rows sum to 1, equation 7.
        temperature: T as a number, also where it was solved for.
        metric: ``"euclidean"`` or ``"cosine"``.
        source: The word vectors as the user named them.
        aliases: The words read in place of names.
    """

    names: tuple[str, ...]
    vectors: Tensor
    distances: Tensor
    matrix: Tensor
    temperature: float
    metric: str
    source: str
    aliases: dict[str, str]


def add_similarity_arguments(parser: ArgumentParser) -> None:
    """Add the options that say what S is made of."""
    group = parser.add_argument_group("soft targets")
    group.add_argument(
        "--word-vectors",
        metavar="SOURCE",
        default=BUNDLED_SOURCE,
        help="the bundled GloVe words, a vector file, or a gensim-data name to download",
    )
    group.add_argument(
        "--allow-pickle",
        action="store_true",
        help="read gensim's KeyedVectors.save too, a pickle: only from an origin that you trust",
    )
    group.add_argument(
        "--alias",
        metavar="NAME=WORDS",
        action="append",
        default=[],
        help="read WORDS in place of the class NAME; may be repeated",
    )
    group.add_argument(
        "--alias-file",
        metavar="FILE",
        type=Path,
        help="the same for many classes: a text file with a line NAME = WORDS for each",
    )
    group.add_argument(
        "--metric", choices=METRICS, default="euclidean", help="distance between class vectors"
    )
    group.add_argument(
        "--temperature",
        metavar="T",
        help="softmax temperature of S (default: 1), or auto:M to solve for the mean diagonal M",
    )


def similarity_from_arguments(args: Namespace, class_names: Sequence[str]) -> SimilarityResult:
    """S as the options of :func:`add_similarity_arguments` ask for it; T is 1 where they do not.

    Args:
        args: Parsed options.
        class_names: C names in label order.

    Raises:
        InputError: For any option or source that does not work out.
    """
    class_names = checked_names(class_names)
    # Before a large file is read, so that a mistyped number does not cost minutes.
    asked = PAPER_TEMPERATURE if args.temperature is None else args.temperature
    parse_temperature(asked, len(class_names))
    aliases = _aliases(args, class_names)
    vectors = class_vectors(class_names, args.word_vectors, aliases, allow_pickle=args.allow_pickle)
    distances = distance_matrix(vectors, args.metric, names=class_names)
    temperature = resolve_temperature(distances, asked)
    return SimilarityResult(
        names=class_names,
        vectors=vectors,
        distances=distances,
        matrix=similarity_from_distances(distances, temperature),
        temperature=temperature,
        metric=args.metric,
        source=args.word_vectors,
        aliases=aliases,
    )


def _aliases(args: Namespace, class_names: Sequence[str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for option in args.alias:
        name, equals, words = option.partition("=")
        if not (equals and name and words):
            raise InputError(f"--alias {option!r} is not valid: expected NAME=WORDS")
        if name in aliases:
            raise InputError(f"--alias gives class {name!r} two aliases: keep one")
        aliases[name] = words
    if args.alias_file is None:
        return aliases
    of_file = read_alias_file(args.alias_file, class_names)
    twice = [name for name in of_file if name in aliases]
    if twice:
        raise InputError(
            f"--alias and --alias-file {args.alias_file} both have an alias for {twice[0]!r}: keep "
            "one"
        )
    return aliases | of_file
