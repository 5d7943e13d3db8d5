"""People who use the published Python client."""

from typing import Any

from pondsocket_client import Channel, ClientOptions, PondClient

from tests.clients.people import Notes, Payload, Person, Room


class PythonRoom(Room):
    def __init__(self, notes: Notes, channel: Channel) -> None:
        super().__init__(notes)
        self._channel = channel
        channel.on_channel_state_change(lambda state: notes.put("state", state.value))
        channel.on_message(
            lambda m: notes.put("message", {"event": m.event, "payload": m.payload})
        )
        channel.on_join(lambda presence: notes.put("join", presence))
        channel.on_leave(lambda presence: notes.put("leave", presence))
        channel.on_presence_change(lambda c: notes.put("update", c.model_dump()))
        channel.on_users_change(lambda users: notes.put("users", users))

    async def say(self, event: str, payload: Payload) -> None:
        self._channel.send_message(event, payload)

    async def ask(self, event: str, payload: Payload) -> Payload:
        return await self._channel.send_for_response(event, payload)

    async def users(self) -> list[Payload]:
        return self._channel.presence

    async def leave(self) -> None:
        self._channel.leave()


class PythonPerson(Person):
    def __init__(
        self, name: str, url: str, params: dict[str, str], options: dict[str, Any]
    ) -> None:
        super().__init__(name)
        notes = self.notes
        self._client = PondClient(url, params, ClientOptions(**options))
        self._client.on_connection_change(
            lambda state: notes.put("connection", state.value)
        )
        self._client.on_error(lambda error: notes.put("error", str(error)))
        self._client._broadcaster.subscribe(
            lambda m: notes.put("received", m.model_dump(by_alias=True, mode="json"))
        )

    async def connect(self) -> None:
        await self._client.connect()

    async def disconnect(self) -> None:
        await self._client.disconnect()

    async def enter(self, channel: str, params: Payload) -> Room:
        room = self._client.create_channel(channel, params)
        entered = PythonRoom(Notes(f"{self.name} in {channel}"), room)
        room.join()
        return entered
