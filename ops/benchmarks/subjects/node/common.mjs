// What the subjects on Node share: arguments, audio, and the two lines of output; see ../__init__.py.
import { parseArgs } from "node:util";
import { randomFillSync } from "node:crypto";
import { performance } from "node:perf_hooks";

const RATE = 32_000; // bytes per second of 16 kHz, 16-bit mono PCM
const SPREAD = 0.618034; // the fractions of its multiples fill an interval evenly, for any number of them

const text = { type: "string" };
const { values } = parseArgs({
  options: { url: text, ca: text, streams: text, seconds: text, ramp: text, "chunk-ms": text },
});
export const options = {
  url: values.url,
  restUrl: values.url.replace("wss:", "https:"),
  streams: Number(values.streams),
  seconds: Number(values.seconds),
  ramp: Number(values.ramp ?? 0),
  chunkMs: Number(values["chunk-ms"] ?? 250),
};

export const configuration = {
  transcription: {
    primaryLanguage: "en",
    isDiarization: false,
    isMultichannel: false,
    participants: [{ channel: 0, role: "multiple" }],
  },
  mode: { type: "facts", outputLocale: "en" },
  audioFormat: "audio/pcm; rate=16000; channels=1; bits=16",
};

export const encounter = (number) => ({
  encounter: { identifier: `bench-${process.pid}-${number}`, status: "planned", type: "consultation" },
});

const size = Math.floor((RATE * options.chunkMs) / 1000) & ~1;
const noise = randomFillSync(Buffer.alloc(10 * RATE));
const chunks = [];
for (let at = 0; at + size <= noise.length; at += size) chunks.push(noise.subarray(at, at + size));

// Sends chunks at the stream's own times, each computed from its start, until `send` returns false.
export function pace(number, send) {
  const start = performance.now() + options.chunkMs * ((number * SPREAD) % 1);
  let turn = 0;
  const next = () => {
    if (!send(chunks[turn % chunks.length])) return;
    turn += 1;
    setTimeout(next, start + turn * options.chunkMs - performance.now());
  };
  setTimeout(next, start - performance.now());
}

const connects = [];
const failed = new Set();
let ready = false;

function check() {
  if (ready || connects.length + failed.size < options.streams) return;
  ready = true;
  console.log(JSON.stringify({ ready, failures: failed.size }));
  setTimeout(finish, options.seconds * 1000);
}

export function connected(began) {
  connects.push(performance.now() - began);
  check();
}

// Called more than once for a stream that fails: for an error, then for the close.
export function failure(number) {
  failed.add(number);
  check();
}

function finish() {
  connects.sort((a, b) => a - b);
  const at = (share) => connects[Math.min(Math.floor(share * connects.length), connects.length - 1)] ?? null;
  const connect_ms = { n: connects.length, p50: at(0.5), p99: at(0.99) };
  console.log(JSON.stringify({ failures: failed.size, connect_ms }));
  process.exit(0);
}

process.on("SIGTERM", finish);

// Opens the streams during the ramp. `open(number)` returns a promise that rejects if a stream cannot be opened.
export function run(open) {
  for (let number = 0; number < options.streams; number++) {
    setTimeout(() => open(number).catch(() => failure(number)), (options.ramp * 1000 * number) / options.streams);
  }
}
