"""How alike things are that have features: the cosine of their features, of which rare ones weigh more.

Shapes: N things, F features.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

DIGITS = 6  # nearer than this is equally near, so that the last bit of a sum decides nothing


class Likeness:
    """The likeness of each thing to each other one."""

    def __init__(self, features: Sequence[Collection[str]]):
        names = sorted({name for held in features for name in held})
        column = {name: place for place, name in enumerate(names)}
        rows = np.repeat(np.arange(len(features)), [len(held) for held in features])
        columns = np.array([column[name] for held in features for name in sorted(held)], np.int64)
        count = np.bincount(columns, minlength=len(names))
        self.rarity = dict(zip(names, np.log(len(features) / np.maximum(count, 1)).round(DIGITS).tolist(), strict=True))
        weights = np.array([self.rarity[name] for name in names])[columns]
        length = np.sqrt(np.bincount(rows, weights**2, minlength=len(features)))
        values = weights / np.maximum(length[rows], 10.0**-DIGITS)
        self._matrix = csr_matrix((values, (rows, columns)), (len(features), len(names)))

    def nearest(self, thing: int) -> Iterator[tuple[int, float]]:
        """Return the other things that share a feature with this one and how alike they are, the most alike first."""
        alike_N = (self._matrix @ self._matrix[[thing]].toarray()[0]).round(DIGITS)
        for other in np.argsort(-alike_N, kind="stable"):
            if alike_N[other] <= 0:
                return
            if other != thing:
                yield int(other), float(alike_N[other])
