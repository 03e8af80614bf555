"""Candidate generation: one vector per user, one per post, and their dot product says who may like what.

A post is the sum of the vectors of what it is (its creator, its topic), so a post of this minute has one, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from mlsys.core import MlsysError, generator


@dataclass(frozen=True)
class Embedding:
    """users float64 (users, d + 1), the last column 1 · features (features, d + 1), the last column a bias.

    A user that the log does not know has the mean vector: what is liked by all.

    >>> user, creator = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> fitted = Embedding.fit(user, [creator], np.array([1, 0, 0, 1]), size=1)
    >>> bool(np.diff(fitted.score(np.array([0]), [np.array([[1, 0]])]))[0, 0] > 0)
    True
    """

    users: np.ndarray
    features: np.ndarray
    offsets: tuple[int, ...]

    @classmethod
    def fit(
        cls, user: np.ndarray, features: Sequence[np.ndarray], y: np.ndarray, *, size: int = 16, strength: float = 5.0
    ) -> Embedding:
        """Factorize who liked which features more than average.

        user int64 (n,) · features: codes from 0, int64 (n,) each, such as creator and topic · y 0/1 (n,).
        Of every (user, feature) the shrunken mean of y less the overall mean, Σ(y - ȳ) / (count + strength), is
        approximated by the `size` largest singular values.
        Source: Kula, Metadata embeddings for user and item cold-start recommendations, arXiv:1507.08439 (2015); Koren,
        Bell & Volinsky, Matrix factorization techniques for recommender systems, IEEE Computer 42 (2009).
        """
        user, rest = np.asarray(user), np.asarray(y, np.float64) - np.mean(y)
        counts = [int(codes.max()) + 1 for codes in features]
        offsets = tuple(np.cumsum([0, *counts]).tolist())
        shape = (int(user.max()) + 1, offsets[-1])
        if not 0 < size < min(shape):
            raise MlsysError(
                f"size={size} for {shape[0]} users and {shape[1]} features",
                why="an approximation has fewer dimensions than what it approximates",
                fix=f"choose 1 to {min(shape) - 1}",
            )
        row = np.tile(user, len(features))
        column = np.concatenate([codes + offset for codes, offset in zip(features, offsets, strict=False)])
        total = csr_matrix((np.tile(rest, len(features)), (row, column)), shape)
        seen = csr_matrix((np.ones(len(row)), (row, column)), shape)
        seen.data = 1 / (seen.data + strength)
        left, values, right = svds(
            total.multiply(seen).tocsr(), k=size, v0=generator(0, 71).standard_normal(min(shape))
        )
        often = np.bincount(column, minlength=offsets[-1])
        bias = np.bincount(column, np.tile(rest, len(features)), offsets[-1]) / (often + 6 * strength)
        vectors = np.column_stack([(values[:, None] * right).T, bias])
        known = np.bincount(user, minlength=shape[0]) > 0
        users = np.column_stack([left, np.ones(shape[0])])
        users[~known] = users[known].mean(axis=0)
        return cls(users, vectors, offsets)

    def posts(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Vectors of posts from their features' codes, float64 (*shape of a code array, d + 1)."""
        ends = self.offsets[1:]
        zero = np.zeros((1, self.features.shape[1]))
        table = np.vstack([self.features, zero])  # A code that training never saw adds nothing.
        at = [np.where(codes + low < high, codes + low, len(self.features))
              for codes, low, high in zip(features, self.offsets, ends, strict=False)]  # fmt: skip
        return np.asarray(sum(table[places] for places in at))

    def score(self, user: np.ndarray, features: Sequence[np.ndarray]) -> np.ndarray:
        """Dot products, float64 (S, C): users (S,), codes of their candidates' features (S, C) each."""
        mean = self.users.mean(axis=0)
        vectors = np.where((user < len(self.users))[:, None], self.users[np.minimum(user, len(self.users) - 1)], mean)
        return np.asarray(np.einsum("sd,scd->sc", vectors, self.posts(features)))


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest of each row, int64 (S, k), best first; ties: the lower position.

    >>> top_k(np.array([[0.1, 0.9, 0.5, 0.9]]), 3).tolist()
    [[1, 3, 2]]
    """
    if not 0 < k <= scores.shape[1]:
        raise MlsysError(f"top {k} of {scores.shape[1]}", why="there are no more", fix=f"ask for {scores.shape[1]}")
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]
