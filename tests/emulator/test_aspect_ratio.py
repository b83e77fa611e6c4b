"""The avatar's picture has the shape that the request asks for, on the wire."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.emulator.town import Person, Town

SIZES = {None: (368, 560), "2x3": (368, 560), "1x1": (512, 512), "9x16": (360, 640)}
HEAD = 21
"""Bytes before the pixels: type, participant, width and height of 16 bits each."""


def size_of(packet: bytes) -> tuple[int, int]:
    width, height = int.from_bytes(packet[17:19], "little"), int.from_bytes(packet[19:21], "little")
    assert len(packet) == HEAD + width * height * 3
    return width, height


async def seen(town: Town, pictures: int, **fields: Any) -> tuple[str, Person]:
    answer = await town.create(**fields)
    bot = await town.join(answer["room_url"])
    await bot.until(lambda: len(bot.pictures) >= pictures)
    return answer["session_id"], bot


@pytest.mark.parametrize("model", [None, "flash", "lite", "pro"])
@pytest.mark.parametrize("ratio", SIZES)
async def test_every_picture_has_the_shape_that_was_asked_for(town: Town, ratio: str | None, model: str | None) -> None:
    """With every model, but that lite has no 9x16; the face fills it to all four sides."""
    if (model, ratio) == ("lite", "9x16"):
        body = {"agent_id": "agent", "transport_type": "daily", "model": model, "aspect_ratio": ratio}
        status, answer = await town.post("/liveai/sessions", body)
        assert (status, "aspect_ratio" in answer["detail"]) == (400, True)
        return
    fields = {name: value for name, value in (("model", model), ("aspect_ratio", ratio)) if value}
    _, bot = await seen(town, 3, **fields)
    assert {size_of(packet) for packet in bot.pictures} == {SIZES[ratio]}
    width, height = SIZES[ratio]
    picture = np.frombuffer(bot.pictures[-1][HEAD:], np.uint8).reshape(height, width, 3)
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert edge.any(), "no side of the picture is a black bar"


@pytest.mark.parametrize("ratio", ["2x3", "1x1", "9x16"])
async def test_a_new_picture_leaves_the_shape_as_it_is(town: Town, ratio: str) -> None:
    """A picture of another shape fills it, its middle being seen."""
    file = BytesIO()
    Image.new("RGB", (900, 100), (255, 0, 0)).save(file, "PNG")
    session_id, bot = await seen(town, 1, aspect_ratio=ratio)
    image = base64.b64encode(file.getvalue()).decode()
    await town.control(session_id, event="update-image", image_base64=image)
    red = bytes((255, 0, 0)) * (SIZES[ratio][0] * SIZES[ratio][1])
    await bot.until(lambda: bot.pictures[-1][HEAD:] == red)
    assert {size_of(packet) for packet in bot.pictures} == {SIZES[ratio]}
