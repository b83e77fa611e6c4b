"""Lists that others make grow, and that stop growing."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What has come, from the first on; what comes when it is full is not kept.

    Args:
        most: Items kept at most.
        weight: Characters kept at most, as counted by whoever adds an item.
    """

    def __init__(self, most: int, weight: int):
        self._most = most
        self._room = weight
        self.items: list[T] = []
        """What is kept, in order."""

    def add(self, item: T, weight: int) -> None:
        """Keep an item, if there is room for it."""
        if len(self.items) < self._most and weight <= self._room:
            self._room -= weight
            self.items.append(item)
