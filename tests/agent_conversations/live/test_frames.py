"""What a live server sends, held against ``asyncapi.yaml``."""

from collections.abc import Callable

from agent_conversations import services
from agent_conversations.frames import FRAMES, RECEIVED, type_of
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.types import AgentSession
from tests.agent_conversations.live.document import DOCUMENT
from tests.agent_conversations.live.viewers import Viewer


def test_document_describes_every_frame_that_is_sent(watch: Callable[..., Viewer]) -> None:
    conversations = services.conversations()
    session = AgentSession.from_registration({"wsUrl": "wss://host/push", "sessionId": "s-1"})
    services.sessions().set("c-1", session)
    services.pushes().push("c-1", "Hello", kind="contextual_update", context_id="x")
    metadata = {"tags": [], "large": 12345678901234567890}
    message = AgentMessage(role="user", content="Hello", tool_args={"a": {}})
    viewers = [watch(), watch(mode="delta")]

    def wait_for(frames: int) -> None:
        for viewer in viewers:
            viewer.wait_for(lambda self: len(self.frames) == frames)

    wait_for(1)
    conversations.create(NewConversation(conversation_id="c-1", metadata=metadata))
    wait_for(2)
    conversations.put_message("c-1", "m-1", message)
    wait_for(3)
    conversations.put_message("c-1", "m-1", AgentMessage(role="tool", content=""))
    wait_for(4)
    conversations.update("c-1", ConversationChanges(agent_id="a-1"))
    wait_for(5)
    viewers.append(watch().wait_for_types("snapshot"))
    viewers.append(watch(sessionId="s-1").wait_for(lambda self: len(self.frames) == 2))
    conversations.delete("c-1")
    for viewer in viewers:
        viewer.wait_for(lambda self: self.close_code)

    # Each is as the document says: a viewer raises one that is not.
    sent = {frame["type"] for viewer in viewers for frame in viewer.frames}
    assert sent == set(map(type_of, FRAMES))
    assert {message["name"] for message in DOCUMENT["components"]["messages"].values()} == {
        *sent,
        *map(type_of, RECEIVED),
    }
