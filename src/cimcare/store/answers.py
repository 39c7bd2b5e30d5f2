"""What look-ups by key have found, kept for as long as nothing is saved that they could find, or find no more.

The messages of a storm ask the same again and again: what is above this device, who is at this place, what of that
incident. An answer holds until an object is saved or removed that has, or had, one of the keys asked for. All objects
with one key are known after that as well: the one that was saved is among them, or no longer.
"""

from collections.abc import Iterable
from typing import Any

from cimcare.exchange.ports import Key, Selection, Stored

__all__ = ["Answers"]

_MOST_KEPT = 4000
"""Answers; with more all are forgotten."""

_LONGEST = 50
"""Objects in an answer that is kept, and keys in a question."""

Question = Key | Selection
Found = tuple[Stored[Any], ...]


class Answers:
    """Answers to look-ups in collections, by name of the collection and question."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, Question], Found] = {}
        self._questions: dict[str, dict[Key, set[Question]]] = {}

    def find(self, collection: str, question: Question) -> Found | None:
        """What was found; None if that is not known any more."""
        return self._answers.get((collection, question))

    def keep(self, collection: str, question: Question, found: Found) -> None:
        """Keep what was found now, if it can be told when it no longer holds."""
        keys = _keys_of(question)
        if not 0 < len(keys) <= _LONGEST or len(found) > _LONGEST:
            return
        if len(self._answers) >= _MOST_KEPT:
            self.forget()
        self._answers[collection, question] = found
        questions = self._questions.setdefault(collection, {})
        for key in keys:
            questions.setdefault(key, set()).add(question)

    def take(self, collection: str, keys: Iterable[Key], before: Stored[Any] | None, now: Stored[Any] | None) -> None:
        """An object was saved, or removed if there is none now.

        Args:
            collection: Its collection.
            keys: All keys that it has, or had.
            before: The object as it was; None if it is new.
            now: The object as it is.
        """
        questions = self._questions.get(collection)
        if not questions:
            return
        for key in keys:
            asked = questions.pop(key, None)
            if asked is None:
                continue
            for question in asked:
                found = self._answers.pop((collection, question), None)
                if found is not None and isinstance(question, Key):
                    after = _with(found, key, before, now)
                    if after is not None:
                        self.keep(collection, question, after)

    def forget_all_of(self, collection: str) -> None:
        """An object was saved or removed of which nobody knows which keys it had."""
        for questions in self._questions.pop(collection, {}).values():
            for question in questions:
                self._answers.pop((collection, question), None)

    def forget(self) -> None:
        """Nothing is known any more."""
        self._answers.clear()
        self._questions.clear()


def _with(found: Found, key: Key, before: Stored[Any] | None, now: Stored[Any] | None) -> Found | None:
    """All objects with a key, oldest first, once one of them was saved or removed; None if its place is not known."""
    mrid = (now or before).mrid  # type: ignore[union-attr]
    place = next((at for at, stored in enumerate(found) if stored.mrid == mrid), None)
    if now is None or key not in now.keys:
        return found if place is None else (*found[:place], *found[place + 1 :])
    if place is not None:
        return (*found[:place], now, *found[place + 1 :]) if found[place].created_at == now.created_at else None
    if before is None and (not found or found[-1].created_at <= now.created_at):
        return (*found, now)
    return None


def _keys_of(question: Question) -> tuple[Key, ...]:
    """Keys of which each object that is found has one; none if it may have any."""
    if isinstance(question, Key):
        return (question,)
    if question.after is not None or not question.keys:  # the place of another object may move
        return ()
    return question.keys[0]
