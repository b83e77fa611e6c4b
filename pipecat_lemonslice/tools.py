"""Functions for the LLM: it may have the avatar act, change its picture or its mood, out of what the bot allows.

The model gives names only. What is behind a name, an address or a file for one, it neither sees nor chooses. Each call
is answered with what has become of it: ``{"done": bool, "message": str}``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

# The module that defines it has moved with Pipecat 1.14; this one has it in every release.
from pipecat.processors.aggregators.llm_context import FunctionSchema  # pyright: ignore[reportPrivateImportUsage]
from pipecat.services.llm_service import FunctionCallParams

from pipecat_lemonslice.api import PictureSource, UpdateAgentPrompt, UpdateIdlePrompt, UpdateImage
from pipecat_lemonslice.errors import ConfigurationError, LemonSliceError, safe_line
from pipecat_lemonslice.session.control import Outcome
from pipecat_lemonslice.settings import LemonSliceVideoSettings

if TYPE_CHECKING:
    import asyncio

    from pipecat_lemonslice.video import LemonSliceVideoService

ANSWERS = {
    Outcome.DONE: "It is done: the avatar has been told.",
    Outcome.KEPT: "The avatar cannot be seen at the moment. It will be done when the avatar is there.",
    Outcome.REPLACED: "It was left out, because something newer was asked for meanwhile.",
    Outcome.DROPPED: "It will not be done: there is no avatar in this call, only the voice.",
    Outcome.TOO_MANY: "It will not be done: too many actions wait for the avatar to come.",
}

Act = Callable[[str], Awaitable["asyncio.Future[Outcome]"]]
"""Has the avatar do what a name stands for; returns what becomes of it."""


class AvatarTool(FunctionSchema):
    """A function for the LLM, registered by the LLM service wherever a context lists it.

    Its handler is a direct function, too: ``ToolsSchema(standard_tools=[tool.handler])``, or
    ``llm.register_direct_function(tool.handler)``.
    """

    def __init__(self, name: str, description: str, what: str, names: Iterable[str], act: Act) -> None:
        """Create a function that takes one of some names.

        Args:
            name: Name of the function.
            description: What it does, for the model.
            what: What a name stands for, for the model.
            names: The names that are allowed.
            act: Does it.
        """
        allowed = {_key(each): each for each in names}
        listed = ", ".join(allowed.values())

        # Direct functions are called with the arguments by name; a default lets a call without one be answered, too.
        async def handler(params: FunctionCallParams, name: str = "") -> None:
            given = str(params.arguments.get("name", ""))
            if known := allowed.get(_key(given)):
                result = await _answer(act, known)
            else:
                shown = safe_line(given, limit=40)
                result = _result(False, f"There is no {what} {shown!r}. Use one of these names: {listed}.")
            await params.result_callback(result)

        handler.__name__ = handler.__qualname__ = name
        handler.__doc__ = f"{description}\n\nArgs:\n    name: The {what}, one of: {listed}."
        self._function = handler
        properties = {"name": {"type": "string", "enum": [*allowed.values()], "description": f"The {what}."}}
        super().__init__(name, description, properties, ["name"], handler)

    @property
    def handler(self) -> Callable[..., Awaitable[None]]:
        """What runs when the model calls it."""
        return self._function


def lemonslice_tools(
    service: "LemonSliceVideoService",
    *,
    actions: Iterable[str] | None = None,
    pictures: Mapping[str, PictureSource] | None = None,
    moods: Mapping[str, str | tuple[str, str]] | None = None,
) -> list[AvatarTool]:
    """Return functions with which the LLM steers the avatar: ``LLMContext(tools=[*lemonslice_tools(…), …])``.

    A model that calls one is told what has become of it once LemonSlice has answered. A name that is not allowed, an
    avatar that is not there and a refusal are answers, too, and no exceptions; a refusal is one ErrorFrame beside it. A
    new picture waits for the end of the response that is being spoken.

    Args:
        service: The avatar.
        actions: Poses that ``avatar_action`` may trigger, by their names at LemonSlice.
        pictures: Pictures that ``avatar_picture`` may show, each an address (http, https), a path, the bytes of an
            image file or a PIL image.
        moods: Demeanours that ``avatar_mood`` may set: the prompt for speaking, or a pair of those for speaking and for
            being idle.

    Returns:
        A function for each of the three that was given. Its schema lists the names in the given order.

    Raises:
        ConfigurationError: None was given, or one is empty, has a name twice, or holds what cannot be used.
    """

    async def perform(name: str) -> "asyncio.Future[Outcome]":
        return service.perform(name)

    def settings(changes: Mapping[str, LemonSliceVideoSettings]) -> Act:
        return lambda name: service.change_settings(changes[name])

    tools: list[AvatarTool] = []
    if actions is not None:
        names = _names("actions", actions)
        description = "Make a gesture with your avatar, which the user sees."
        tools.append(AvatarTool("avatar_action", description, "gesture", names, perform))
    if pictures is not None:
        shown = {name: _picture(name, pictures[name]) for name in _names("pictures", pictures)}
        description = "Change how your avatar looks to the user, such as its clothes or surroundings."
        tools.append(AvatarTool("avatar_picture", description, "picture", shown, settings(shown)))
    if moods is not None:
        set_to = {name: _mood(name, moods[name]) for name in _names("moods", moods)}
        description = "Set the mood that your avatar shows to the user. It lasts until the next change."
        tools.append(AvatarTool("avatar_mood", description, "mood", set_to, settings(set_to)))
    if not tools:
        raise ConfigurationError("lemonslice_tools: give at least one of actions, pictures and moods.")
    return tools


async def _answer(act: Act, name: str) -> Mapping[str, Any]:
    """Do what a name stands for, wait for what becomes of it, and return that for the model."""
    try:
        outcome = await (await act(name))
    except LemonSliceError as error:
        return _result(False, f"It did not work. {safe_line(str(error), limit=400)}")
    return _result(outcome is Outcome.DONE, ANSWERS[outcome])


def _result(done: bool, message: str) -> Mapping[str, Any]:
    return {"done": done, "message": message}


def _key(name: str) -> str:
    """Return what two spellings of a name have in common."""
    return " ".join(name.casefold().split())


def _names(keyword: str, given: Iterable[object]) -> list[str]:
    """Check the names of a keyword.

    Raises:
        ConfigurationError: They are none, or cannot be told apart.
    """
    if keyword != "actions" and not isinstance(given, Mapping):
        raise ConfigurationError(f"{keyword} must map each name to what it stands for, not be {type(given).__name__}.")
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{keyword} must hold several names, not be of type {type(given).__name__}.")
    names: dict[str, str] = {}
    for name in given:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"{keyword}: each name must be a text that is not empty, not {name!r}.")
        if _key(name) in names:
            raise ConfigurationError(f"{keyword}: {name!r} is there twice. Upper and lower case count as the same.")
        names[_key(name)] = name
    if not names:
        raise ConfigurationError(f"{keyword} is empty. Give names, or leave it out.")
    return [*names.values()]


def _picture(name: str, source: PictureSource) -> LemonSliceVideoSettings:
    try:
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            UpdateImage(image_url=source)
            return LemonSliceVideoSettings(agent_image_url=source)
        UpdateImage(image=source)
    except ConfigurationError as error:
        raise ConfigurationError(f"pictures: {name!r} cannot be used, {error}") from None
    return LemonSliceVideoSettings(agent_image=source)


def _mood(name: str, given: object) -> LemonSliceVideoSettings:
    try:
        match given:
            case str():
                return LemonSliceVideoSettings(agent_prompt=UpdateAgentPrompt(given).agent_prompt)
            case (str() as speaking, str() as idle):
                return LemonSliceVideoSettings(
                    agent_prompt=UpdateAgentPrompt(speaking).agent_prompt,
                    agent_idle_prompt=UpdateIdlePrompt(idle).idle_prompt,
                )
            case _:
                raise ConfigurationError("it must be a prompt, or a pair of one for speaking and one for being idle")
    except ConfigurationError as error:
        raise ConfigurationError(f"moods: {name!r} cannot be used, {error}") from None
