"""Groups of places that belong together, directly or through others (union-find)."""

import numpy as np
from jaxtyping import Int64


class Groups:
    """Groups of places; the smallest place of each stands for it."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def join(self, pairs: Int64[np.ndarray, "C 2"]) -> None:
        """Let the two places of each pair belong together."""
        for one, other in pairs.tolist():
            low, high = sorted((self._root(one), self._root(other)))
            self._parents[high] = low

    def first(self) -> Int64[np.ndarray, " N"]:
        """Return the first of each place's group."""
        while True:
            above = self._parents[self._parents]
            if np.array_equal(above, self._parents):
                return above
            self._parents = above

    def _root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = int(parents[place])
        return place
