"""A bot in a process of its own, for tests that end it in every way there is: `call.py API_URL MODE`.

Prints the id of its session once the avatar is there.
"""

import asyncio
import sys

from loguru import logger
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.workers.runner import WorkerRunner

from pipecat_lemonslice import LemonSliceVideoService


class Call:
    """A pipeline with the service alone in it."""

    def __init__(self, api_url: str) -> None:
        self.ready = asyncio.Event()
        self.session_id = ""
        self.service = LemonSliceVideoService(
            api_key="key-of-a-test", api_url=api_url, agent_id="agent", idle_timeout=2, keep_alive=True
        )
        self.service.add_event_handler("on_session_created", self._created)
        self.service.add_event_handler("on_avatar_ready", self._ready)
        self.worker = PipelineWorker(Pipeline([self.service]), cancel_on_idle_timeout=False, enable_rtvi=False)
        self.runner = WorkerRunner(handle_sigint=True, handle_sigterm=True)

    async def run(self) -> None:
        await self.runner.add_workers(self.worker)
        await self.runner.run()

    async def until_ready(self) -> None:
        await self.ready.wait()
        sys.stdout.write(f"{self.session_id}\n")
        sys.stdout.flush()

    async def _created(self, _service: object, session_id: str) -> None:
        self.session_id = session_id

    async def _ready(self, _service: object) -> None:
        self.ready.set()


async def main(api_url: str, mode: str) -> None:
    call = Call(api_url)
    running = asyncio.create_task(call.run())
    await call.until_ready()
    match mode:
        case "crash":
            raise RuntimeError("the bot has a bug")
        case "exit":
            sys.exit(3)
        case "abandon":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0)
        case _:
            await running


if __name__ == "__main__":
    logger.remove()
    url, how = sys.argv[1:3]
    if how == "abandon":
        loop = asyncio.new_event_loop()
        abandoned = [loop.create_task(main(url, how))]
        loop.run_forever()
    else:
        asyncio.run(main(url, how))
