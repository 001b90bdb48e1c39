// A consultation: token, create, connect, audio from stdin, transcript, facts, usage, ENDED; then the answers
// of the REST API about it.
import { configuration, encounter, makeClient, report } from "./common.mjs";

const client = makeClient();
const created = await client.interactions.create(encounter(`sdk-${process.pid}`));
const socket = await client.stream.connect({ id: created.interactionId, configuration: configuration() });
const messages = [];
const ended = new Promise((resolve, reject) => {
  socket.on("message", (message) => {
    messages.push(message);
    if (message.type === "ENDED") resolve();
  });
  socket.on("error", reject);
});
const closed = new Promise((resolve) => socket.on("close", (event) => resolve(event.code)));

const pieces = [];
for await (const piece of process.stdin) pieces.push(piece);
const audio = Buffer.concat(pieces);
for (let at = 0; at < audio.length; at += 8000) socket.sendAudio(audio.subarray(at, at + 8000));
socket.sendEnd({ type: "end" });
await ended;
const code = await closed;

const item = await client.interactions.get(created.interactionId);
const listed = [];
for await (const one of await client.interactions.list({ pageSize: 1 })) listed.push(one.id);
const stored = await client.facts.list(created.interactionId);
await client.interactions.update(created.interactionId, { encounter: { status: "completed" } });
const after = await client.interactions.get(created.interactionId);
await client.interactions.delete(created.interactionId);
report({ created, messages, code, item, listed, stored, status: after.encounter.status });
