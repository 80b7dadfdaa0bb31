"""Class names -> word vectors -> distances -> the soft-target matrix S."""

from ffdwv_fast.semantics.class_vectors import class_vectors
from ffdwv_fast.semantics.similarity_matrix import distance_matrix, similarity_matrix
from ffdwv_fast.semantics.similarity_rows import SimilarityRows

__all__ = ["SimilarityRows", "class_vectors", "distance_matrix", "similarity_matrix"]
