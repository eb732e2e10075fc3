"""Answers of the backbone that claim an act: nothing but a tool acts, so such a claim is not said.

A language model that is asked to call somebody likes to say that it does. The beginning of each sentence of an answer
is looked at, and held only while it may become a claim; ordinary answers pass as they were written. English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from glasses.tools.builtin.about import UNABLE
from glasses.types import Token

NOTHING_DONE = "I did not understand that, so nothing was done."

# Verbs of acts, in the forms that stand behind "I", "I will", "I have" and "I am".
_ACTS = (
    "activat(?:e|ed|ing)|add(?:ed|ing)?|adjust(?:ed|ing)?|arrang(?:e|ed|ing)|book(?:ed|ing)?|bought|buy(?:ing)?"
    "|call(?:ed|ing)?|cancel(?:l?ed|l?ing)?|chang(?:e|ed|ing)|charg(?:e|ed|ing)|clos(?:e|ed|ing)|connect(?:ed|ing)?"
    "|creat(?:e|ed|ing)|deactivat(?:e|ed|ing)|decreas(?:e|ed|ing)|delet(?:e|ed|ing)|delay(?:ed|ing)?|dial(?:l?ed|l?ing)?"
    "|dim(?:med|ming)?|disabl(?:e|ed|ing)|download(?:ed|ing)?|e-?mail(?:ed|ing)?|enabl(?:e|ed|ing)|erase[d]?"
    "|forward(?:ed|ing)?|increas(?:e|ed|ing)|install(?:ed|ing)?|invit(?:e|ed|ing)|launch(?:ed|ing)?|lock(?:ed|ing)?"
    "|lower(?:ed|ing)?|messag(?:e|ed|ing)|mut(?:e|ed|ing)|navigat(?:e|ed|ing)|notif(?:y|ied|ying)|open(?:ed|ing)?"
    "|order(?:ed|ing)?|paid|paus(?:e|ed|ing)|pay(?:ing)?|phon(?:e|ed|ing)|play(?:ed|ing)?|post(?:ed|ing)?|print(?:ed|ing)?"
    "|purchas(?:e|ed|ing)|rais(?:e|ed|ing)|rang|record(?:ed|ing)?|remind(?:ed|ing)?|remov(?:e|ed|ing)|rescheduled?"
    "|reserv(?:e|ed|ing)|reset|ring(?:ing)?|sav(?:e|ed|ing)|schedul(?:e|ed|ing)|send(?:ing)?|sent|set(?:ting)?"
    "|shut(?:ting)?|silenc(?:e|ed|ing)|skip(?:ped|ping)?|snap(?:ped|ping)?|snooz(?:e|ed|ing)|start(?:ed|ing)?"
    "|stop(?:ped|ping)?|stor(?:e|ed|ing)|switch(?:ed|ing)?|text(?:ed|ing)?|transfer(?:red|ring)?|turn(?:ed|ing)?"
    "|tweet(?:ed|ing)?|unlock(?:ed|ing)?|unmut(?:e|ed|ing)|updat(?:e|ed|ing)|wak(?:e|ing)"
    "|(?:take|took|taken|taking) (?:a|the|your|another) (?:picture|photo|snapshot|screenshot|note|selfie)s?"
    "|(?:made|make|making) (?:a|an|the|your) (?:call|note|reservation|order|appointment|booking|payment|phone)"
    "|(?:put|putting) .{0,24}\\b(?:on|off|down|up|list|calendar)|(?:write|wrote|written|writing) (?:it|that|this) down"
)
_ADVERB = r"(?:(?:just|now|already|also|successfully|currently|gladly|immediately|right away|be|go ahead and|been) )*"
# What acts are done to; only of these a state is a claim: "The lights are on".
_THINGS = (
    "lights?|lamps?|heating|thermostat|blinds?|shutters?|(?:garage |front )?doors?|television|tv|radio|music|song"
    "|playlist|video|movie|podcast|audiobook|oven|kettle|coffee(?: machine)?|dishwasher|washing machine|vacuum|fan"
    "|air conditioning"
    "|alarms?|timers?|reminders?|notes?|countdown|appointment|meeting|event|message|e-?mail|text|call|taxi|cab|ride|order"
    "|pizza|flight|hotel|tickets?|reservation|booking|payment|money|bill|volume|brightness|display|screen"
    "|microphone|camera|picture|photo|recording|wi-?fi|bluetooth|flashlight|torch|phone|calendar|shopping list|list"
)
_DONE = (
    "on|off|set|sent|done|turned|switched|locked|unlocked|opened|closed|started|stopped|paused|playing|ringing"
    "|cancell?ed|booked|ordered|reserved|paid|saved|added|deleted|removed|recorded|taken|created|scheduled|updated"
    "|changed|muted|unmuted|dimmed|raised|lowered|increased|decreased|activated|deactivated|enabled|disabled|on its way"
    "|running|connected|placed|posted|forwarded|transferred"
)
_ACCEPTS = re.compile(
    r"(?:sure(?: thing)?|of course|certainly|absolutely|okay|ok|all right|alright|yes|yep|no problem|got it|understood"
    r"|right away|great|good|please wait|one moment)[\s,.!]*", re.IGNORECASE,
)  # fmt: skip
_SUBJECT = r"(?:the|your|a|an|all|all the|my)"
_BE = r"(?:is|are|has been|have been|will be|has|have)"
_CLAIMS = re.compile(
    rf"(?:i(?:'ll|'ve| have| will| shall| am going to|'m going to)? {_ADVERB}(?:{_ACTS})\b"
    rf"|i can (?:{_ACTS}) (?:you|your|it|that|them|him|her|a|an|the)\b"
    rf"|i(?:'m| am) {_ADVERB}(?=\w+ing\b)(?:{_ACTS})\b"
    r"|(?:now |just )?(?:activating|adding|booking|buying|calling|cancell?ing|closing|connecting|creating|deleting"
    r"|dialing|emailing|locking|messaging|muting|opening|ordering|pausing|paying|phoning|playing|recording|reminding"
    r"|removing|reserving|scheduling|sending|setting|starting|stopping|switching|taking a|texting|turning|unlocking)"
    r" (?:a|an|the|your|my|his|her|some|up|on|off|down|it|that|all|to)\b"
    rf"|{_SUBJECT} (?:[\w']+ ){{0,3}}?(?:{_THINGS})(?: [\w':]+){{0,4}}? {_BE} {_ADVERB}(?:{_DONE})\b"
    rf"|(?:{_THINGS}) (?:is |are |has been |have been )?(?:{_DONE})\b"
    r"|(?:it|this|that|everything)(?:'s| is| has been| was) (?:now |been |all )*(?:turned (?:on|off)"
    r"|switched (?:on|off)|sent|booked|ordered|cancell?ed|deleted|saved|scheduled|muted|locked|unlocked|done)\b"
    r"|done[.!]|noted[:.!]|forgotten[:.!]|muted[.,!]|consider it done|[\w ,]{1,40}, starting now\b|changed\. )",
    re.IGNORECASE,
)
# Beginnings of which nobody can say yet whether they become a claim.
_OPEN = re.compile(
    rf"(?:[\w']+ |i(?:'ll|'ve|'m| have| can| will| shall| am(?: going(?: to)?)?|'m going(?: to)?)? {_ADVERB}(?:\w+ )?"
    r"|i\b.{0,20} (?:take|took|taken|taking|make|made|making|put|putting|write|wrote|written|writing) (?:\w+ ){0,3}"
    rf"|{_SUBJECT} (?:[\w']+ ){{0,2}}"
    rf"|{_SUBJECT} (?:[\w']+ ){{0,3}}?(?:{_THINGS}) (?:(?!{_BE} )[\w':]+ ){{0,4}}(?:{_BE} (?:\w+ )?)?"
    rf"|(?:{_THINGS}) (?:(?:is|are|has been|have been) )?"
    r"|(?:now |just )?\w+ing |(?:it|this|that|everything)(?:'s| is| has| was)? (?:(?:now|been|all) )*(?:\w+ )?"
    r"|(?:\w+ ){0,2}(?:seconds?|minutes?|hours?)\b,?[\w ,]{0,24}|consider it )",
    re.IGNORECASE,
)
_OBJECT = 6  # tokens of a claim that are read after what shows that it is one
_SENTENCE_END = re.compile(r"[.!?:]\s+$")
# Words of what tools can do: there the request was not understood, all else cannot be done.
_OF_TOOLS = re.compile(
    r"\b(?:alarms?|timers?|remind\w*|notes?|noted|forgotten|volume|brightness|louder|picture|photo|mute\w*|starting now"
    r"|wak\w+|countdown)\b", re.IGNORECASE,
)  # fmt: skip


def claims_act(sentence: str) -> bool:
    """Whether a sentence of an answer, or its beginning, says that the assistant acts, has acted or will act."""
    return bool(_CLAIMS.match(_without_acceptance(sentence)))


def without_claims(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens of an answer up to a sentence that claims an act; what is true is said instead of that.

    Tokens are held only while the beginning of their sentence may become a claim. The words that replace a claim are
    tokens with the id -1.
    """
    tokens, held, sentence, is_open = iter(tokens), list[Token](), "", True
    for token in tokens:
        ended = sentence + token.text[: len(token.text) - len(token.text.lstrip())]
        if _SENTENCE_END.search(ended):  # the token begins another sentence
            if is_open and claims_act(ended):
                yield from _instead(ended, token, tokens)
                return
            yield from held
            held, sentence, is_open = [], "", True
        held.append(token)
        sentence += token.text
        words = sentence if token.last else sentence[: sentence.rfind(" ") + 1]
        if is_open and claims_act(words):
            yield from _instead(sentence, token, tokens)
            return
        is_open = is_open and not token.last and may_become_claim(words)
        if not is_open:
            yield from held
            held = []
    yield from held


def may_become_claim(beginning: str) -> bool:
    """Whether `beginning`, whole words of a sentence with a space behind each, says too little to know."""
    rest = _without_acceptance(beginning)
    return not rest or bool(_OPEN.fullmatch(f"{rest} "))


def _instead(claim: str, token: Token, rest: Iterator[Token]) -> Iterator[Token]:
    """What is said instead of a claim; more of it is read from `rest`, as its object tells what was asked for."""
    for further in islice(rest, 0 if token.last else _OBJECT):
        claim += further.text
    sentence = NOTHING_DONE if _OF_TOOLS.search(claim) else UNABLE
    words = re.findall(r"\S+", sentence)
    for i, word in enumerate(words, 1):
        yield Token(token.turn_id, -1, f" {word}", 0.0, None, i == len(words))


def _without_acceptance(sentence: str) -> str:
    """Without "Sure!" before it."""
    rest = sentence.strip()
    while found := _ACCEPTS.match(rest):
        rest = rest[found.end() :]
    return rest
