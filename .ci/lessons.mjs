// The three lessons with the official Node client: a story on one conversation, a walk through the routes of
// conversations, and responses that follow each other, plain and streamed. The model answers with the prompt that it was
// given, so each answer shows the history that it saw.
//
//     node lessons.mjs BASE_URL
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const model = "gpt-4o-mini";

// 1. A story, told on one conversation.
const story = await client.conversations.create({ metadata: { title: "story" } });
const said = [];
for (const input of ["A fox lives in a forest.", "One day it rains.", "What happens next?"]) {
  const answer = await client.responses.create({ model, conversation: story.id, input, instructions: "Tell a story." });
  said.push(input);
  assert(answer.output_text.startsWith("Tell a story. | ") && said.every((line) => answer.output_text.includes(line)));
  assert.equal(answer.conversation.id, story.id);
}
let streamed = "";
let last;
for await (const event of await client.responses.create({ model, conversation: story.id, input: "The end?", stream: true })) {
  if (event.type === "response.output_text.delta") streamed += event.delta;
  last = event;
}
assert.equal(last.type, "response.completed");
assert.equal(last.response.output.at(-1).content[0].text, streamed);
const final = await client.responses.stream({ model, conversation: story.id, input: "Really?" }).finalResponse();
assert(final.output_text.endsWith("Really?"));

// 2. A walk through the routes of conversations.
const items = [];
for await (const item of client.conversations.items.list(story.id, { order: "asc", limit: 4 })) items.push(item);
assert.equal(items.length, 10);
assert.deepEqual(items.slice(0, 2).map((item) => item.role), ["user", "assistant"]);
await client.conversations.items.create(story.id, { items: [{ type: "message", role: "user", content: "A note." }] });
const newest = (await client.conversations.items.list(story.id, { limit: 1 })).data[0];
const found = await client.conversations.items.retrieve(newest.id, { conversation_id: story.id });
assert.equal(found.content[0].text, "A note.");
await client.conversations.items.delete(newest.id, { conversation_id: story.id });
assert.deepEqual((await client.conversations.update(story.id, { metadata: { title: "fox" } })).metadata, { title: "fox" });
assert((await client.conversations.delete(story.id)).deleted);
await assert.rejects(client.conversations.retrieve(story.id), OpenAI.NotFoundError);

// 3. Responses that follow each other, and branch.
const first = await client.responses.create({ model, input: "My name is Ann." });
const second = await client.responses.create({ model, input: "What is my name?", previous_response_id: first.id });
assert(second.output_text.includes("My name is Ann."));
const [left, right] = await Promise.all(
  ["Left.", "Right."].map((input) => client.responses.create({ model, input, previous_response_id: second.id })),
);
assert(!right.output_text.includes("Left.") && right.output_text.includes("What is my name?"));
assert.equal((await client.responses.retrieve(left.id)).output_text, left.output_text);
const inputs = await client.responses.inputItems.list(left.id);
assert.deepEqual(inputs.data.map((item) => item.content[0].text), ["Left."]);
let text = "";
const follow = { model, input: "Once more.", previous_response_id: second.id, stream: true };
for await (const event of await client.responses.create(follow)) text += event.type === "response.output_text.delta" ? event.delta : "";
assert(text.includes("What is my name?") && text.endsWith("Once more."));
await client.responses.delete(left.id);
await assert.rejects(client.responses.retrieve(left.id), OpenAI.NotFoundError);
await assert.rejects(client.responses.create({ model, input: "x", previous_response_id: left.id }), OpenAI.BadRequestError);
console.log("the lessons hold with the Node client too");
