"""What k samples a question would give: right at least once, and right by a vote. Both exact, neither drawn.

With n samples a question, the k that a run with fewer of them would have had are any k of the n. Both figures are
expectations over all of these subsets, which uses every sample and adds no luck of a draw.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import comb, lcm

TIES = "split evenly: where t answers lead and r of them are right, a vote counts r/t; no answer, no vote"
SIZES = (1, 2, 4, 5, 8, 10, 16)  # the k that are reported, as far as every question has so many samples

# A question's samples: how many there are, and how often each right and each wrong answer was given, in order of size.
# Samples that are in neither cast no vote.
Votes = tuple[int, tuple[int, ...], tuple[int, ...]]


def pass_at(n: int, right: int, k: int) -> Fraction:
    """Return the chance that of ``k`` among ``n`` samples, ``right`` of them right, at least one is right.

    The unbiased estimate of Chen et al. 2021 (arXiv 2107.03374, equation 1).

    Raises:
        ValueError: not 0 <= right <= n, or not 1 <= k <= n.
    """
    if not (0 <= right <= n and 1 <= k <= n):
        raise ValueError(f"k={k} of n={n} samples with right={right} of them is no choice")
    subsets = comb(n, k)
    return Fraction(subsets - comb(n - right, k), subsets)


@functools.lru_cache(maxsize=65536)  # a run has many questions and few ways in which their samples agree
def maj_at(votes: Votes, k: int) -> Fraction:
    """Return the chance that a vote among ``k`` of a question's samples is right, over all subsets.

    The answer that most of the k give wins. Where several are given equally often, each wins with the same chance.
    Samples that give no answer cast no vote, and where none of the k gives one, the vote is wrong.

    Args:
        votes: the question's samples; answers that count as one are one entry.
        k: how many of the samples vote.

    Raises:
        ValueError: more votes than samples, or not 1 <= k <= n.
    """
    n, right, wrong = votes
    silent = n - sum(right) - sum(wrong)
    if silent < 0 or not 1 <= k <= n:
        raise ValueError(f"k={k} of n={n} samples with {sum(right) + sum(wrong)} votes is no choice")
    shares = lcm(*range(1, k + 1))  # of one vote: ties of up to k answers split it into whole numbers
    favourable = 0
    for place, count in enumerate(right):
        others = (*right[:place], *right[place + 1 :], *wrong)
        for most in range(1, min(count, k) + 1):
            subsets = _subsets(others, silent, k - most, most)
            favourable += comb(count, most) * sum(ways * shares // (tied + 1) for tied, ways in enumerate(subsets[:k]))
    return Fraction(favourable, comb(n, k) * shares)


def _subsets(others: Sequence[int], silent: int, size: int, most: int) -> list[int]:
    """Count the subsets of ``size`` samples in which none of the other answers is given more than ``most`` times.

    Returns:
        the number of subsets by how many of the answers are given exactly ``most`` times.
    """
    # Answers that cannot come so often are as good as silent. ways[used][tied]: one of the rest after the other.
    silent += sum(count for count in others if count < most)
    others = [count for count in others if count >= most]
    ways = [[0] * (len(others) + 1) for _ in range(size + 1)]
    ways[0][0] = 1
    for count in others:
        longer = [[0] * (len(others) + 1) for _ in range(size + 1)]
        for used, row in enumerate(ways):
            for tied, number in enumerate(row):
                if number:
                    for taken in range(min(most, size - used) + 1):
                        longer[used + taken][tied + (taken == most)] += number * comb(count, taken)
        ways = longer
    return [
        sum(ways[used][tied] * comb(silent, size - used) for used in range(size + 1)) for tied in range(len(ways[0]))
    ]


def at_each(questions: "Counter[Votes]") -> tuple[dict[str, float], dict[str, float]]:
    """Return pass_at and maj_at, each a mean over questions, by k.

    Args:
        questions: their samples, counted. A k that some question has fewer samples than is left out, since a mean
            over the others would be of other questions.
    """
    if not questions:
        return {}, {}
    total, fewest = questions.total(), min(votes[0] for votes in questions)
    passed, voted = {}, {}
    for k in SIZES:
        if k <= fewest:
            rights = ((votes, sum(votes[1]), count) for votes, count in questions.items())
            # Rounded once, at the end: at 1 both are the accuracy, to the last bit.
            passed[str(k)] = float(sum(pass_at(votes[0], right, k) * count for votes, right, count in rights) / total)
            voted[str(k)] = float(sum(maj_at(votes, k) * count for votes, count in questions.items()) / total)
    return passed, voted
