"""Whether a text that names an option states it, or only speaks of it, or of another thing that is called alike.

All of it looks at folded text around one mention.
"""

import re

from octomed_jax.verification.names import Mention
from octomed_jax.verification.phrases import one_of, words

_STATES = one_of(
    r"is, are, was, must be, has to be, would be, it's, that's, this's, has, have, had, (?<!to "
    r")(?:shows?|confirms?|demonstrates?|reveals?|supports?|suggests?), showing, indicat(?:es?|ing), "
    r"suggest(?:ing|ive of), consistent with, compatible with, typical of, characteristic of, diagnostic of, "
    r"indicative of, diagnosis of, findings of, signs of, picture of, features of, case of, those of, "
    r"pathognomonic for, diagnosed with, diagnosed as, likely, probably, due to, caused by, represent(?:s|ing)?, "
    r"chooses?, select, pick, answer, concludes?, therefore, thus, hence, so, remains, leaving, leaves, "
    r"(?:is|are|lies|located|seen|situated) (?:in|on|at), (?:arises?|originates?|comes) from, points? to, "
    r"favou?rs?, means, give, use, diagnose, recommend, but, than, rather, not, then, namely, i think, i say, "
    r"would say"
)
_LEADS_IN = one_of("a, an, the, option, choice, most, likely, probably, clearly, typical, in, of, on")
_STATED_BEFORE = re.compile(rf"(?:^|[,;:.!(]|\b{_STATES})\s{{0,3}}[(\"]?(?:{_LEADS_IN}\s{{1,2}}){{0,4}}$")
_STATED_AFTER = re.compile(
    r"^[)\"']?(?:\s{0,3}(?:$|[.,;:!(\n]|-\s)"
    r"|\s{1,2}(?:is|remains|fits|explains|it is|would be|must be|should be)\b(?:\s{0,3}(?:$|[.,;])"
    r"|\s(?:(?:therefore|thus|clearly|by far)\s)?"
    r"(?:the|most|best|correct|right|answer|confirmed|well|all|likely|it|given|used|started)\b)"
    r"|\s(?:rather than|instead of|not|over|remains|fits)\b)"
)
_SPOKEN_OF = re.compile(
    r"^\s?(?:\?|to\s|like\b|(?:is|are) (?:treated|caused|defined|associated|common|rare)\b"
    r"|(?:should|must|may|can|needs? to) (?:also )?be (?:considered|excluded|ruled out|kept)|as (?:less |un)likely)"
)
# Words that may stand between the start of a sentence and a name that it states.
_LIGHT = words("a an the option choice most likely probably clearly is in on it this")
_RELATIONS = words("of for with to from in against about like")
# Nouns that leave a name what it is.
_TAILS = words(
    """hemisphere side sided plane view slice section infection disease syndrome disorder image scan position
    projection type film radiograph xray ray study finding findings examination result lung lungs chest ct mri
    mr t1 t2 flair weighted contrast"""
)
_OF_WHAT = words("of the a head brain chest abdomen pelvis spine neck knee patient")
# What else may follow a name: another noun would make it another thing ("liver abscess" is not the liver).
_MAY_FOLLOW = _TAILS | words(
    """is was are be in of on at with without due because by from that which and or but not rather than instead as
    since given fits remains seems appears explains it the a an would could should may might can must has have
    shows here there this for so therefore thus if unless though although when where over versus vs plus causes
    leading best most well correct right likely then also now answer option choice alone only i we he she they
    after before during according based considering to like"""
)
# What may precede the name of an option whose text is a part of another option's.
_MAY_PRECEDE = words(
    """a an the is are was of with has have shows by as to for not but option choice and or than in on at most likely
    confirms suggests indicates diagnosis be been only choose pick select answer i think it's give use diagnose"""
)
_ANOTHERS = re.compile(
    r"\b(?:mother|father|brother|sister|parents?|family|son|daughter|uncle|aunt|history|past|previous(?:ly)?)\b"
)
_WORD_AFTER = re.compile(r"\s([a-z][\w'-]*)")
_WORD_BEFORE = re.compile(r"([\w-]+)\s?$")


def stated(folded: str, mark: Mention) -> bool:
    """Say whether a name is stated as what is there ("shows X", "X is the answer"), not only spoken of."""
    before, after = folded[max(0, mark.start - 60) : mark.start], folded[mark.end : mark.end + 40]
    if _ANOTHERS.search(re.split(r"[.;:\n]", before)[-1]):
        return False
    match = _STATED_BEFORE.search(before)
    if match and match.group().strip():
        return True
    lead = before.split()
    alone = mark.start < 40 and len(lead) <= 2 and not _RELATIONS.intersection(lead)
    if alone and (_TAILS | _OF_WHAT).issuperset(re.findall(r"\w+", after)):
        return True  # "acute hepatitis B" or "left side" is all there is
    return _STATED_AFTER.match(after) is not None and (mark.start == 0 or match is not None or _leads(before))


def _leads(before: str) -> bool:
    """Say whether only light words stand between the start of the sentence and a name."""
    return _LIGHT.issuperset(re.split(r"[.;:,\n]", before)[-1].split())


def spoken_of(folded: str, mark: Mention) -> bool:
    """Say whether what follows a name tells of it in general, or asks."""
    return _SPOKEN_OF.match(folded[mark.end : mark.end + 40]) is not None


def headed_otherwise(folded: str, mark: Mention) -> bool:
    """Say whether the word right after a name may make it another thing ("liver abscess")."""
    word = _WORD_AFTER.match(folded, mark.end)
    return word is not None and word[1] not in _MAY_FOLLOW and not word[1].endswith("ly")


def modified(folded: str, mark: Mention) -> bool:
    """Say whether the word right before a name may make it another thing ("old infarction")."""
    word = _WORD_BEFORE.search(folded[max(0, mark.start - 40) : mark.start])
    return word is not None and word[1] not in _MAY_PRECEDE
