"""How people state an answer, deny one, doubt it, and take it back: the phrases that the readers look for.

Patterns are for text in lower case unless they say otherwise. Every repetition is bounded, so that each is linear.
"""

import re


def one_of(phrases: str) -> str:
    """Return the pattern of any of the phrases, which commas separate."""
    return "(?:" + "|".join(" ".join(phrase.split()) for phrase in phrases.split(",")) + ")"


def words(text: str) -> "frozenset[str]":
    """Return the words of a text."""
    return frozenset(text.split())


# ------------------------------------------------------------------------------------------------ stating an answer

ANSWER_KEYS = one_of("answers?, ans, response")
KEYS = one_of(
    "option, choice, selected, diagnosis, solution, selection, conclusion, decision, verdict, impression, exception,"
    "class, category, letter, correct, (?:correct|right|best|recommended) one"
)
VALUES = one_of("value, result, score, labels?")  # state the answer only where nothing else does
IS = one_of("is, was, would be, should be, must be, will be, has to be, remains")
SURELY = one_of(
    "indeed, clearly, therefore, thus, hence, obviously, definitely, certainly, simply, then, now, still, most likely,"
    "likely, probably, most probably, found to be, that it is, given by"
)
GRADES = one_of("correct, best, right, appropriate, likely, probable, accurate, suitable")
CONCLUDES = one_of("therefore, thus, hence, so, consequently, accordingly, in conclusion, overall")

# "The answer is", "Answer: ", "**Answer** -"; a key before ``:`` may be quoted, as in JSON.
STATEMENT = re.compile(
    rf"(?<![A-Za-z])(?:(?P<answer>{ANSWER_KEYS})|(?P<claim>{KEYS})|(?P<value>{VALUES}))(?![A-Za-z])"
    r"(?:_(?:choice|option|letter))?[\"']?"
    rf"(?:(?:\s{{1,2}}(?:to|for|here|of)\b[^.:;=\n]{{0,60}}?)?\s{{1,2}}{IS}\b(?!\s{{1,2}}not\b(?![^.;\n]{{0,60}}\bbut\b)|n't)"
    r"|\.?[*_\s]{0,4}[:=]|\s{1,2}[-–—](?=\s))"
    r"[*_:\s\"']{0,8}",
    re.IGNORECASE,
)
SURE = re.compile(rf"^(?:{SURELY}\s{{1,2}}){{1,2}}", re.IGNORECASE)  # "clearly B"
# The last sentence, which concludes.
LAST_WORD = re.compile(
    r"(?:^|(?<=[.!?\n]))(?![^.!?\n]*\b(?:would|could|should|can|if)\b)"
    r"[^.!?\n]{0,200}\b(?:thus|therefore|hence|consequently)\b[^.!?\n]{1,200}[.!]?\s{0,3}$",
    re.IGNORECASE,
)
_TITLE = r"^[\s#*_>]{0,8}(?:the )?(?:final |correct |best )?(?:answer|ans)"
# A line that is but "Final answer", or "Answer B".
HEADING = re.compile(
    rf"{_TITLE}[\s*_:.]{{0,8}}$|{_TITLE}\.?[\s*_]{{1,4}}(?=[(\[]?[A-Za-z][)\].]?[\s*_]{{0,4}}$)",
    re.IGNORECASE | re.MULTILINE,
)
SECTION = re.compile(
    rf"^[\s#*_]{{1,8}}{one_of('conclusion, summary, decision, verdict, assessment')}[\s*_:]{{0,6}}$",
    re.IGNORECASE | re.MULTILINE,
)
CHOSEN = re.compile(
    r"\bI(?:'d|'ll|\s(?:would|will|shall|must|therefore|thus|hence)){0,2}\s"
    r"(?:choose|select|pick|answer|go with|opt for|settle on|vote for|say|conclude(?: that)?)\s{1,2}"
    r"(?:(?:it|the answer) is\s)?",
    re.IGNORECASE,
)
LEAVES = re.compile(r"\b(?:that|this|which)\s(?:only\s|just\s)?leaves\s{1,2}(?:us with\s|only\s)?", re.IGNORECASE)
# "The most appropriate next step is X": of any thing, so it states the answer only where that is one of a few.
SUPERLATIVE = re.compile(
    r"\b(?:most (?:likely|appropriate|probable|suitable)|(?:single )?best|safest|preferred|recommended|next|correct)\s"
    r"(?:(?!complication|precipitant|alternative|differential|risk|side|adverse|distractor)[\w-]{2,20}\s){1,4}?"
    r"(?:is|would be|should be)\b(?!\s{1,2}not\b)\s{1,2}(?:(?:therefore|thus)\s)?(?:to\s)?",
    re.IGNORECASE,
)
CONCLUSION = re.compile(rf"(?:^|(?<=[.;!?,\n]))\s{{0,3}}{CONCLUDES}\b[,:]?\s{{1,3}}", re.IGNORECASE)
# "X is the correct answer", "X is most likely".
VERDICT = re.compile(
    rf"[)\].*_\"']{{0,4}}\s{{1,2}}(?:is|must be|remains)\s{{1,2}}"
    r"(?:(?:therefore|thus|hence|clearly|indeed|definitely|by far)\s)?"
    rf"(?:(?:the |my )(?:single )?(?:final |most |only )?{GRADES}\b|(?:the|my) (?:final )?(?:answer|choice|diagnosis)\b"
    r"|(?:correct|right)\b(?!\s(?:that|in|about|to)\b)|most (?:likely|appropriate|probable)\b)",
    re.IGNORECASE,
)
# "The answer is" in other languages; the letter or the option's text follows.
_EUROPEAN = one_of(
    "respuesta correcta, respuesta, réponse finale, réponse correcte, réponse, antwort, risposta corretta, risposta,"
    "resposta correta, resposta, antwoord, svaret, svar, odpowiedź, odpověď, cevap, jawabannya, jawaban, ответ, đáp án,"
    "vastaus, απάντηση, válasz"
)
_EUROPEAN_IS = one_of("es, est, ist, lautet, è, é, is, är, er, to, je, là, adalah, on, είναι, az")
_EUROPEAN_THE = one_of(
    "donc, also, entonces, la, el, le, die, der, das, de, o, a, az, opción, opção, opzione, option, alternativa, letra,"
    "lettre, lettera, buchstabe"
)
FOREIGN = re.compile(
    r"(?:(?:答案|答え|正解|回答|诊断|診断)\s{0,2}(?:应该是|应为|是|为|為|は|选|選|:)"
    r"|(?:故选|应选|选择|选|選)\s{0,2}:?(?=\s{0,2}[(\[]?[A-Z])|(?:정답|답)\s{0,2}(?:은|는|:)"
    r"|(?:उत्तर|คำตอบ|الإجابة|الجواب|الاجابة)(?:\s(?:الصحيحة|सही))?\s{0,2}(?:है|คือ|هي|هو|:)?"
    rf"|\b{_EUROPEAN}\s{{0,3}}(?:\b{_EUROPEAN_IS}\b|:|(?=\s[A-Z]\b)))"
    rf"[*_:\s]{{0,6}}(?:{_EUROPEAN_THE}\s{{1,2}}){{0,3}}",
    re.IGNORECASE,
)
COPULA = re.compile(r"\s?(?:です|である|でした|입니다|이다|है|。)[^A-Za-z]*$")  # ends a sentence after the answer

# A word right before "diagnosis:", "answer:" and the like that leaves them what they are; any other makes them another
# thing ("differential diagnosis", "excluded option", "the student's answer").
MAY_PRECEDE_KEY = words(
    """a the my our your its his her this that final correct right best likely probable appropriate suitable
    accurate single overall so thus therefore hence and is are my as clinical underlying principal definitive
    leading chosen selected expected intended official primary main only exact numerical numeric predicted
    proposed suggested true actual short full model's boxed direct concise to by with on or an of for in
    corrected revised updated new"""
)
# A value that is not the patient's own.
OTHER_VALUE = re.compile(
    r"\b(?:maximum|maximal|minimum|max|min|cut-?off|threshold|normal|typical|usual|average|previous|reference|range|possible"
    r"|aged?|years?)\b"
)
OTHERS_SAY = re.compile(
    r"\b(?:many|most|some|others?|students?|people|one)\s(?:(?:might|may|would|could|will)\s)?"
    r"(?:say|think|argue|claim|believe|answer)\b"
)
NOT_LIKELY = re.compile(r"\b(?:least|less)\s(?:likely|probable|appropriate|suitable|accurate)\s$")
# A condition before a statement of the same sentence; a condition anywhere; an example; a quoted "Answer: X".
CONDITION = re.compile(
    r"(?<!even )\b(?:if|unless|in case|provided|assuming)\b[^.;:\n]{0,120}$"
    r"|(?:^|[.;\n]\s{0,3})(?:had|were|with|without|in (?:a|an|children|adults|patients|women|men))\b"
    r"[^.;:\n]{0,120},\s{0,2}"
    r"(?:the\s|correct\s|most\s|likely\s){0,4}$"
)
CONDITIONAL = re.compile(r"\b(?:if|unless|assuming|provided)\b")
EXAMPLE = re.compile(
    r"\b(?:format is|example|e\.g\.|for instance|sample (?:answer|output)|looks? like this|output format)"
)
QUOTED = re.compile(
    r"[\"'“‘`](?:the )?(?:final |correct )?(?:answer|labels?|option|class)(?:\s?:|\s(?:is|would be)\b)"
    r"[^\"'“”‘’`\n]{0,80}[\"'”’`]",
    re.IGNORECASE,
)
# Right before "the answer is X": it is denied, asked, supposed, quoted, or another's.
SPOILT = re.compile(
    r"(?:\b(?:incorrect|wrong|false|not|no|if|whether|unless|another|doubt|deny|unlikely|is"
    r"|each|every|other|following|which|any|all|these)"
    r"|\b(?:such as|like|e\.g\.,?|format)|n't"
    r"|\b(?:might|may|could|some|others?|students?|people|one)\s(?:(?:might|may|would|could|will)\s)?"
    r"(?:say|think|argue|claim|believe))\s{1,3}[\"'`]?(?:that\s{1,3})?(?:(?:the|an|it is)\s{1,3})?"
    r"(?:(?:correct|final|right|best)\s{1,3})?$"
)

# ------------------------------------------------------------------------------------------------ denying

# From "above" on: of a place that only tells where another one is.
_DENIES = one_of(
    r"not, no, never, neither of, neither, nor, rather than, instead of, rul(?:e|es|ed|ing) out, "
    r"exclud(?:e|es|ed|ing), except for, except, unlike, without, against, eliminat(?:e|es|ed|ing), "
    r"reject(?:s|ed|ing)?, dismiss(?:es|ed|ing)?, discard(?:s|ed|ing)?, anything but, all but, everything but, "
    r"absence of, absent, lack of, negative for, free of, less likely, unlikely, isnt, wasnt, false that, cannot, "
    r"can't, denies, denied, (?:no|without) (?:evidence|signs?|indication|suggestion) of, above, below, beside, "
    r"next to, adjacent to, near, behind"
)
_BETWEEN = one_of(
    "the, a, an, be, in, of, option, options, answer, answers, choice, choices, it, is, are, both, either, clearly,"
    "typically, to, also, fit, fits, show, shows, support, supports, suggest, suggests, consistent with, have, has"
)
DENIED_BEFORE = re.compile(rf"(?:\b{_DENIES}|n't)[\s:]{{1,3}}(?:{_BETWEEN}[\s:]{{1,3}}){{0,3}}[(\[]?$")
_SEEMS = one_of(
    "is also, is therefore, is thus, is, was, are all, are both, are, were, seems?, looks?, appears?, can be, could be,"
    "should be, must be, has been, have been"
)
_OUT = one_of(
    "not, unlikely, incorrect, wrong, excluded, ruled out, less likely, false, never, eliminated, out, rejected,"
    "improbable, implausible, inconsistent, absent, inappropriate, unsupported, likely not, contraindicated"
)
DENIED_AFTER = re.compile(
    rf"^[)\].]?\s{{0,3}},?\s{{0,3}}(?:{_SEEMS}\s{{1,3}}"
    rf"(?:(?:very|most|quite|clearly|definitely|less|highly|all|both|also|now)\s)?{_OUT}\b"
    r"|(?:is|was|are|were|do|does|did|can|could|would|has|have)(?:n't|\s{1,3}not)\b|(?:cannot|can't|won't)\b"
    r"|:?\s{0,2}(?:less likely|excluded|ruled out|unlikely|wrong|incorrect)\b)"
)
NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|without|except|cannot|unlikely|wrong|incorrect|false)\b|n't\b")

# ------------------------------------------------------------------------------------------------ doubting

_DOUBTS = one_of(
    "either, or, maybe, perhaps, possibly, possible, might, could, may, unclear, uncertain, unsure, undetermined,"
    "alternatively, unless, cannot, can't, not sure, not certain, impossible, insufficient, guess, unable, otherwise,"
    "depends, torn, vs, versus, doubt, doubtful, if, whether, consider, rule out"
)
# A line that heads what is out, or only listed.
LISTS_OTHERS = re.compile(
    r"\b(?:ruled? out|wrong|excluded?|incorrect|eliminated|differentials?|unlikely|rejected|less likely|considered)\b"
    r"[^\n]{0,40}:?[\s*]*$"
)
HEDGE = re.compile(rf"\b{_DOUBTS}\b")
RIVAL_AFTER_BOX = re.compile(
    r"[^\w\n]{0,6}(?:(?:and/)?or\b"
    r"|(?:(?:is|are|would be|seems?)\s)?(?:also\s)?(?:possible|plausible|conceivable|doubtful)\b"
    r"|(?:is|seems|looks)\s(?:wrong|incorrect|not|unlikely|excluded|false)\b)",
    re.IGNORECASE,
)
RIVAL_AFTER_LABEL = re.compile(
    r"^(?:(?:and|or|and/or|but|possibly|perhaps|maybe|though|although|vs|versus)\b(?!\s{1,2}not\b)|[/&+>|?]"
    r"|(?:is|seems|looks)\s(?:also\s)?(?:possible|plausible|conceivable|doubtful|unclear)\b)"
)
JOINING = re.compile(r"(?:\W|\b(?:or|and|also|either|answer|the|option|though|although|but)\b){0,40}")

# ------------------------------------------------------------------------------------------------ taking back

PLACEHOLDERS = frozenset(
    {"answer", "your answer", "your answer here", "answer here", "final answer", "your final answer", "insert answer"}
    | {"insert answer here", "letter", "option", "choice", "number", "value", "text", "x"}
)
REVISED = re.compile(
    r"\bwait\b\s{0,2}[,.:!-]|\bcorrection:|\boops\b|\bi meant\b|\bnot sure\b"
    r"|\b(?:scratch that|on second thoughts?|i was wrong|i (?:have )?made an? (?:mistake|error)|hmm|on reflection"
    r"|that (?:is|was) wrong|let me (?:re-?\w{3,}|think again|check again)|actually,? (?:no|it|the answer|that)"
    r"|no, (?:that|it|wait)|(?:i am|i'm) (?:not able|unable|not (?:so |quite |entirely )?(?:sure|certain))"
    r"|i (?:cannot|can't) (?:give|determine|provide|answer|calculate|compute|say))\b"
)
TAKEN_BACK = re.compile(r"\W*(?:or|maybe|perhaps|possibly|alternatively|but (?:it |this )?(?:may|might|could))\b")
# A value that was given is not the one that was asked for.
NOT_GIVEN = re.compile(
    r"\bcannot be (?:determined|calculated|computed|estimated|assessed|answered|given)\b"
    r"|\b(?:not able|unable|cannot|can't|could not)\b.{0,40}\b(?:give|determine|provide|answer|calculate|compute|say)\b"
)

# ------------------------------------------------------------------------------------------------ grounds

REASON = re.compile(
    r"^(?:because|since|as|due|given|which|that|for|by|based|with"
    r"|is (?:the )?(?:most )?(?:correct|right|best|answer|likely)(?!\s(?:that|in)\b))\b"
)
# What only gives the grounds of an answer cannot change it.
GROUNDS = re.compile(r"[,;]?\s{0,2}\b(?:because|since|given|based on|considering)\b[^.;,\n]{0,300}")
