"""The programs that people learn the stateful API with, written with the official Python client, against a server whose
model answers with the prompt that it was given: so each answer shows the history that the model saw. Every answer and
every event is read by the client's own classes and checked against the published schema.

    python lessons.py BASE_URL SCHEMA
"""
import json, sys
import openai
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from openai.types.chat import ChatCompletionChunk
from openai.types.conversations import Conversation, ConversationItemList
from openai.types.responses import Response, ResponseStreamEvent

base, document = sys.argv[1], json.load(open(sys.argv[2]))
client = openai.OpenAI(base_url=base, api_key="none", max_retries=0)
MODEL = "gpt-4o-mini"
checked = 0


def check(schema, answer, kind=None):
    """The answer's own members, as they came."""
    global checked
    value = answer.to_dict(mode="json", exclude_unset=True)
    # The document has no null for it; the service sends it until there is a reply, and Open Responses demands it.
    response = value.get("response", value)
    if response.get("usage", 0) is None:
        del response["usage"]
    errors = list(Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **document}).iter_errors(value))
    for error in errors:
        print(f"{schema} {list(error.path)}: {error.message[:400]}\n{json.dumps(value)[:600]}", file=sys.stderr)
        for cause in sorted(error.context or [], key=lambda cause: len(cause.path), reverse=True)[:6]:
            print(f"    {list(cause.path)}: {cause.message[:200]}", file=sys.stderr)
    assert not errors
    if kind:
        TypeAdapter(kind).validate_python(value)
    checked += 1
    return answer


def ask(**parameters):
    return check("Response", client.responses.create(model=MODEL, **parameters), Response)


# 1. A story, told on one conversation.
story = check("ConversationResource", client.conversations.create(metadata={"title": "story"}))
said = []
for line in ["A fox lives in a forest.", "One day it rains.", "What happens next?"]:
    answer = ask(conversation=story.id, input=line, instructions="Tell a story.")
    said.append(line)
    assert answer.output_text.startswith("Tell a story. | ") and answer.output_text.endswith(" | ".join([line])), answer.output_text
    assert all(earlier in answer.output_text for earlier in said)
    assert answer.conversation.id == story.id
streamed = ""
events = client.responses.create(model=MODEL, conversation=story.id, input="The end?", stream=True)
for event in events:
    check("ResponseStreamEvent", event, ResponseStreamEvent)
    if event.type == "response.output_text.delta":
        streamed += event.delta
assert event.type == "response.completed" and event.response.output_text == streamed and "One day it rains." in streamed
with client.responses.stream(model=MODEL, conversation=story.id, input="Really?") as stream:
    assert stream.get_final_response().output_text.endswith("Really?")

# 2. A walk through the routes of conversations.
items = list(client.conversations.items.list(story.id, order="asc", limit=4))
assert len(items) == 10 and [item.role for item in items[:2]] == ["user", "assistant"]
client.conversations.items.create(story.id, items=[{"type": "message", "role": "user", "content": "A note."}])
newest = client.conversations.items.list(story.id, limit=1).data[0]
assert client.conversations.items.retrieve(newest.id, conversation_id=story.id).content[0].text == "A note."
client.conversations.items.delete(newest.id, conversation_id=story.id)
assert client.conversations.update(story.id, metadata={"title": "fox"}).metadata == {"title": "fox"}
assert client.conversations.delete(story.id).deleted
try:
    client.conversations.retrieve(story.id)
    raise AssertionError("a deleted conversation is found")
except openai.NotFoundError as error:
    assert error.body["message"] == f"Conversation with id '{story.id}' not found."

# 3. Responses that follow each other, and branch.
first = ask(input="My name is Ann.")
second = ask(input="What is my name?", previous_response_id=first.id)
assert "My name is Ann." in second.output_text
left, right = (ask(input=text, previous_response_id=second.id) for text in ("Left.", "Right."))
assert "Left." not in right.output_text and "What is my name?" in right.output_text
assert check("Response", client.responses.retrieve(left.id), Response).output_text == left.output_text
inputs = client.responses.input_items.list(left.id)
assert [item.content[0].text for item in inputs] == ["Left."]
client.responses.delete(left.id)
for refused, kind in [
    (lambda: client.responses.retrieve(left.id), openai.NotFoundError),
    (lambda: ask(input="x", previous_response_id=left.id), openai.BadRequestError),
    (lambda: ask(input="x", previous_response_id=first.id, conversation="conv_1"), openai.BadRequestError),
]:
    try:
        refused()
        raise AssertionError("nothing is refused")
    except kind:
        pass
count = client.responses.input_tokens.count(model=MODEL, input="Hi")
assert check("TokenCountsResource", count).input_tokens > 0

# 4. A long talk is compacted, and goes on from the item that stands for it.
said = [{"role": "user", "content": "My name is Ann."}, {"role": "assistant", "content": "Hello, Ann."}]
window = check("CompactResource", client.responses.compact(model=MODEL, input=said)).output
assert [item.type for item in window] == ["compaction"]
answer = ask(input=[*[item.to_dict() for item in window], {"role": "user", "content": "Who am I?"}], store=False)
assert "My name is Ann." in answer.output_text and answer.output_text.endswith("Who am I?")
compacted = client.responses.create(model=MODEL, input=[*said, {"type": "compaction_trigger"}], stream=True)
last = [check("ResponseStreamEvent", event, ResponseStreamEvent) for event in compacted][-1]
assert last.type == "response.completed" and [item.type for item in last.response.output] == ["compaction"]

# 5. Without state on the server: what a client keeps is sealed, and sent back.
long = [{"role": role, "content": "The Elbe is a river. " * 100} for role in ["user", "assistant"] * 2]
full = {"context_management": [{"type": "compaction", "compact_threshold": 1000}], "store": False}
answer = ask(input=[*long, {"role": "user", "content": "Where does it end?"}], **full)
assert [item.type for item in answer.output] == ["compaction", "message"] and "Where does it end?" in answer.output_text
assert "Elbe" not in answer.output[0].encrypted_content and answer.output[0].encrypted_content.startswith("tws1.")
window = [item.to_dict() for item in answer.output]
answer = ask(input=[*window, {"role": "user", "content": "Sure?"}], store=False)
assert answer.output_text.startswith("Summary") and answer.output_text.endswith("Sure?")
last = [
    check("ResponseStreamEvent", event, ResponseStreamEvent)
    for event in client.responses.create(model=MODEL, input=[*long, {"role": "user", "content": "Why?"}], stream=True, **full)
][-1]
assert [item.type for item in last.response.output] == ["compaction", "message"]
sealed = {"include": ["reasoning.encrypted_content"], "store": False}
answer = ask(input="Think.", **sealed)
assert [item.type for item in answer.output] == ["reasoning", "message"]
kept = [{"role": "user", "content": "Think."}, *[item.to_dict() for item in answer.output]]
assert ask(input=[*kept, {"role": "user", "content": "More."}], **sealed).output_text.endswith("More.")
for event in client.responses.create(model=MODEL, input="Think.", stream=True, **sealed):
    check("ResponseStreamEvent", event, ResponseStreamEvent)
assert [item.type for item in event.response.output] == ["reasoning", "message"]
story = client.conversations.create()
input = [*window[:1], {"role": "user", "content": "Hello."}]
ask(conversation=story.id, input=input, extra_body={"include": ["turnwise.plan"]})
assert [item.type for item in client.conversations.items.list(story.id, order="asc")] == ["compaction", "message", "message"]
check("ConversationItemList", client.conversations.items.list(story.id))
raw = client.responses.with_raw_response.create(model=MODEL, input="Hi")
assert raw.headers["x-turnwise-plan"].startswith("sent=1 ")

# 6. Chat completions that continue a stored conversation.
chat = client.conversations.create()
bound = {"x-turnwise-conversation": chat.id}
for number, line in enumerate(["One.", "Two."]):
    reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": line}], extra_headers=bound)
    check("CreateChatCompletionResponse", reply)
    assert reply.choices[0].message.content.startswith("One.") and reply.choices[0].message.content.endswith(line)
streamed = ""
for chunk in client.chat.completions.create(
    model=MODEL, messages=[{"role": "user", "content": "Three."}], extra_headers=bound, stream=True,
    stream_options={"include_usage": True},
):
    # The document says nothing of null for `finish_reason`, which every server and the client have.
    TypeAdapter(ChatCompletionChunk).validate_python(chunk.to_dict(mode="json"))
    streamed += "".join(choice.delta.content or "" for choice in chunk.choices)
assert streamed.endswith("Three.") and "Two." in streamed
assert len(list(client.conversations.items.list(chat.id))) == 6

# 7. A request that is sent again is recorded once; stored completions.
again = {"extra_headers": {"Idempotency-Key": "one"}, "conversation": chat.id, "input": "Four."}
answer = ask(**again)
assert ask(**again).output == answer.output and len(list(client.conversations.items.list(chat.id))) == 8
for event in client.responses.create(model=MODEL, stream=True, **{**again, "extra_headers": {"Idempotency-Key": "two"}}):
    check("ResponseStreamEvent", event, ResponseStreamEvent)
replayed = list(client.responses.create(model=MODEL, stream=True, **{**again, "extra_headers": {"Idempotency-Key": "two"}}))
for event in replayed:
    check("ResponseStreamEvent", event, ResponseStreamEvent)
assert replayed[-1].response.output_text == answer.output_text.replace("Four.", "Four. | " + answer.output_text + " | Four.", 1)
one = client.chat.completions.create(
    model=MODEL, messages=[{"role": "user", "content": "Keep this."}], store=True, metadata={"kept": "yes"}, extra_headers=bound
)
stored = check("CreateChatCompletionResponse", client.chat.completions.retrieve(one.id))
assert stored.choices[0].message.content == one.choices[0].message.content
assert [kept.id for kept in client.chat.completions.list(metadata={"kept": "yes"})] == [one.id]
check("ChatCompletionList", client.chat.completions.list())
assert client.chat.completions.update(one.id, metadata={"kept": "still"}).id == one.id
assert [message.content for message in client.chat.completions.messages.list(one.id)] == ["Keep this."]
assert check("ChatCompletionDeleted", client.chat.completions.delete(one.id)).deleted

# 8. What is beside the contract, by the client's own way for it.
items = list(client.conversations.items.list(chat.id, order="asc"))
fork = check("ConversationResource", client.post(
    f"/turnwise/conversations/{chat.id}/fork", body={"last": items[1].id}, cast_to=Conversation
))
assert fork.id != chat.id and len(list(client.conversations.items.list(fork.id))) == 2
first = next(iter(client.conversations.items.list(fork.id, order="asc")))
check("ConversationItemList", client.post(
    f"/turnwise/conversations/{fork.id}/items/{first.id}/edit",
    body={"items": [{"role": "user", "content": "Uno."}]}, cast_to=ConversationItemList,
))
assert ask(conversation=fork.id, input="Due.").output_text.endswith("Uno. | Due.")
assert len(list(client.conversations.items.list(chat.id))) == len(items)
listed, after = [], {}
while after is not None:
    page = client.get("/turnwise/conversations", options={"params": {"limit": 2, **after}}, cast_to=object)
    listed += [one["id"] for one in page["data"]]
    after = {"after": page["next"]} if page["has_more"] else None
assert {chat.id, fork.id} <= set(listed) and len(listed) == len(set(listed))
print(f"{checked} answers and events checked")
