"""Which words of a vector source stand for a class name."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ffdwv_fast.errors import InputError

ALIAS_SYNTAX = (
    "with --alias NAME=WORDS or a line NAME = WORDS in --alias-file FILE (in Python: "
    'aliases={"NAME": "WORDS"})'
)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The class names as a tuple.

    Raises:
        InputError: For a bare string, no names, a name that is no text, or a name given twice.
    """
    if isinstance(names, str):
        raise InputError(f"class names must be a list of names, got the one string {names!r}")
    names = tuple(names)
    if not names:
        raise InputError("no class names: at least one is needed")
    for name in names:
        if not isinstance(name, str) or not name_parts(name):
            raise InputError(f"class name {name!r} is not a word: expected text such as 'oak_tree'")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"class names given more than once: {', '.join(repeated)}")
    return names


def checked_aliases(names: Sequence[str], aliases: Mapping[str, str] | None) -> dict[str, str]:
    """The alias table as a dictionary.

    Raises:
        InputError: For an alias of a name that is not among the classes, or without words.
    """
    aliases = dict(aliases or {})
    unknown = [name for name in aliases if name not in names]
    if unknown:
        raise InputError(
            f"aliases for names that are no classes: {', '.join(map(str, unknown))}; "
            f"the classes are {', '.join(names)}"
        )
    for name, words in aliases.items():
        if not isinstance(words, str) or not name_parts(words):
            raise InputError(f"the alias of class {name!r} is {words!r}: expected words")
    return aliases


def name_parts(text: str) -> list[str]:
    """The words of a name: ``"maple_tree"``, ``"maple-tree"`` and ``"maple tree"`` have two."""
    return text.replace("-", " ").replace("_", " ").split()


def readings(text: str) -> list[tuple[str, ...]]:
    """The ways to read a name, best first; a way is the words whose mean vector is taken.

    The parts are never joined without a mark, because sources hold rare words such as "oaktree"
    whose vectors are poor, and never reduced to the head word, because all "*_tree" would be one.
    """
    parts = tuple(name_parts(text))
    ways = [(text,), ("_".join(parts),), parts]
    return list(dict.fromkeys(ways))


def wanted_words(names: Sequence[str], aliases: Mapping[str, str]) -> set[str]:
    """Every word that a reading of the names may ask a source for."""
    ways = (way for name in names for way in readings(aliases.get(name, name)))
    return {cased for way in ways for word in way for cased in (word, word.lower())}


def resolve(
    names: Sequence[str],
    aliases: Mapping[str, str],
    word_vectors: Mapping[str, np.ndarray],
    where: str,
    hint: Callable[[list[str]], str] = lambda missing: "",
) -> np.ndarray:
    """The vector of every class: the mean over the words of its first reading that is there.

    A word is there as it stands or in lower case; as it stands goes first.

    Args:
        names: C class names.
        aliases: Words to read in place of a name.
        word_vectors: The source's vectors, ``[D]`` each.
        where: The source, for error messages.
        hint: What else to try where names are missing, given the words that are: the end of the
            error message.

    Returns:
        ``[C, D]`` float32.

    Raises:
        InputError: Naming all classes that have no vector, or a word with a vector that is not
            finite.
    """
    texts = {name: aliases.get(name, name) for name in names}
    chosen = {name: _first_there(text, word_vectors) for name, text in texts.items()}
    missing = [name for name, words in chosen.items() if words is None]
    if missing:
        lacking = {name: _parts_not_there(texts[name], word_vectors) for name in missing}
        listed = ", ".join(_described(name, aliases, lacking[name]) for name in missing)
        unknown = list(dict.fromkeys(part for parts in lacking.values() for part in parts))
        raise InputError(
            f"{where} has no vector for {len(missing)} of {len(names)} class names: {listed}; "
            f"give other words {ALIAS_SYNTAX}{hint(unknown)}"
        )
    for name, words in chosen.items():
        bad = [word for word in words if not np.isfinite(word_vectors[word]).all()]
        if bad:
            raise InputError(
                f"{where}: the vector of {bad[0]!r} (class {name!r}) has values that are not "
                f"finite; repair the file or give other words {ALIAS_SYNTAX}"
            )
    means = [np.mean([word_vectors[w] for w in chosen[n]], axis=0, dtype=np.float64) for n in names]
    return np.stack(means).astype(np.float32)


def refuse_equal_vectors(names: Sequence[str], vectors: np.ndarray, where: str) -> None:
    """Refuse ``[C, D]`` vectors that leave two classes at distance 0."""
    first_with: dict[bytes, str] = {}
    for name, vector in zip(names, vectors + 0.0, strict=True):  # + 0.0 turns -0.0 into 0.0
        other = first_with.setdefault(vector.tobytes(), name)
        if other != name:
            raise InputError(
                f"classes {other!r} and {name!r} have the same vector in {where}: "
                f"give one of them other words {ALIAS_SYNTAX}"
            )


def _first_there(text: str, word_vectors: Mapping[str, np.ndarray]) -> tuple[str, ...] | None:
    for way in readings(text):
        words = tuple(_as_there(word, word_vectors) for word in way)
        if None not in words:
            return words
    return None


def _as_there(word: str, word_vectors: Mapping[str, np.ndarray]) -> str | None:
    return next((cased for cased in (word, word.lower()) if cased in word_vectors), None)


def _parts_not_there(text: str, word_vectors: Mapping[str, np.ndarray]) -> list[str]:
    return [part for part in name_parts(text) if _as_there(part, word_vectors) is None]


def _described(name: str, aliases: Mapping[str, str], lacking: Sequence[str]) -> str:
    """A name that has no vector, with its alias and the parts at fault where not all are."""
    notes = [f"alias {aliases[name]!r}"] if name in aliases else []
    if len(lacking) < len(name_parts(aliases.get(name, name))):
        notes.append(f"no {' and '.join(map(repr, lacking))}")
    return f"{name} ({', '.join(notes)})" if notes else name
