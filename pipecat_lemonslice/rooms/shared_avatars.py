"""Which participants of a room that people share with the bot are avatars. Pure: no IO.

The law: a participant with a user id that was minted for an avatar is an avatar. While nobody has such an id, the
avatar is the participant who joins under its name after the session was asked for. All others are people, under any
name, also those who take the avatar's name later.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pipecat_lemonslice.rooms import AvatarClaim, Participant
from pipecat_lemonslice.rooms.daily_call import read_participant

MAX_REMEMBERED = 1000
"""Participants, and ids, that are remembered. Beyond that the oldest are forgotten, who have gone long since."""


class Avatars:
    """Knows the avatars among the participants. Entries are those of Daily's participants."""

    def __init__(self, name: str) -> None:
        """Begin with nobody.

        Args:
            name: User name that avatars go by.
        """
        self._name = name
        self._minted: dict[str, None] = {}
        self._user_id: str | None = None
        self._before: frozenset[str] | None = None
        self._any_id_seen = False
        self._claims: dict[str, AvatarClaim] = {}

    def expect(self, user_id: str | None, present: Collection[str]) -> None:
        """A session is about to be asked for.

        Args:
            user_id: The id that is in its avatar's token; None if that is not known.
            present: Ids of those who are in the room.
        """
        self._user_id, self._before = user_id, frozenset(present)
        if user_id is not None:
            self._minted[user_id] = None
            _forget_oldest(self._minted)

    def add(self, entry: Mapping[str, Any]) -> list[str]:
        """Add a participant; returns the ids of participants that were wrongly taken for avatars."""
        who = self.recognize(entry)
        minted = _user_id(entry) in self._minted
        named = who.claim is AvatarClaim.NAME and who.name == self._name
        self._claims[who.id] = AvatarClaim.ID if minted else AvatarClaim.NAME if named else AvatarClaim.NONE
        _forget_oldest(self._claims)
        if not minted or self._any_id_seen:
            return []
        self._any_id_seen = True
        mistaken = [known for known, claim in self._claims.items() if claim is AvatarClaim.NAME]
        self._claims.update(dict.fromkeys(mistaken, AvatarClaim.NONE))
        return mistaken

    def recognize(self, entry: Mapping[str, Any]) -> Participant:
        """Return a participant with its claim to be the avatar of the newest session."""
        who = read_participant(entry)
        return replace(who, claim=self._claim(who.id, _user_id(entry)))

    def knows(self, participant_id: str) -> bool:
        """Whether a participant that has joined is an avatar, of this session or of an earlier one."""
        return self._claims.get(participant_id, AvatarClaim.NONE) is not AvatarClaim.NONE

    def includes(self, entry: Mapping[str, Any]) -> bool:
        """Whether a participant is an avatar, or will be one once it has joined."""
        who = self.recognize(entry)
        if who.id in self._claims:
            return self.knows(who.id)
        return _user_id(entry) in self._minted or (who.claim is AvatarClaim.NAME and who.name == self._name)

    def _claim(self, participant_id: str, user_id: str) -> AvatarClaim:
        if user_id in self._minted:
            return AvatarClaim.ID if user_id == self._user_id else AvatarClaim.NONE
        person = self._claims.get(participant_id) is AvatarClaim.NONE
        if person or self._any_id_seen or self._before is None or participant_id in self._before:
            return AvatarClaim.NONE
        return AvatarClaim.NAME


def _user_id(entry: Mapping[str, Any]) -> str:
    return str(entry.get("info", {}).get("userId", ""))


def _forget_oldest(remembered: dict[str, Any]) -> None:
    if len(remembered) > MAX_REMEMBERED:
        del remembered[next(iter(remembered))]
