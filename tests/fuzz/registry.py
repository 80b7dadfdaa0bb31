"""The fuzz targets by name: a new one is a function that makes it in a folder, and a line here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fuzz import archives, folders, images, planted, tensors, vector_cache, vectors
from tests.fuzz.target import Target

TARGETS: dict[str, Callable[[Path], Target]] = {
    "cifar10": partial(images.records, "cifar10"),
    "cifar100": partial(images.records, "cifar100"),
    "cifar-names": images.class_names,
    "archive": archives.archive,
    "image": folders.image,
    "aliases": folders.aliases,
    "word2vec": vectors.word2vec,
    "vectors-gz-bz2": vectors.compressed,
    "array": vectors.array,
    "fasttext": vectors.fasttext,
    "gensim": vectors.gensim_native,
    "class-vector-cache": vector_cache.entry,
    "tensors": tensors.tensor_file,
    "teacher": tensors.teacher,
    "pretrained": tensors.pretrained,
}

# With faults on purpose, for the test that they are found.
PLANTED: dict[str, Callable[[Path], Target]] = {
    "planted-error": planted.error,
    "planted-hang": planted.hang,
    "planted-growth": planted.growth,
}
