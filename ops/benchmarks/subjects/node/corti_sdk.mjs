// The vendor's client, used as its documentation shows.
import { CortiClient } from "@corti/sdk";
import { configuration, connected, encounter, failure, options, pace, run } from "./common.mjs";

const client = new CortiClient({
  tenantName: "base",
  auth: { clientId: "bench", clientSecret: "bench" },
  environment: {
    base: `${options.restUrl}/v2`,
    wss: `${options.url}/audio-bridge/v2`,
    login: `${options.restUrl}/realms`,
    agents: options.restUrl,
  },
});

run(async (number) => {
  const { interactionId } = await client.interactions.create(encounter(number));
  const began = performance.now();
  // The SDK's default of 4 s is too short for many streams on one core, and an attempt that times out ends the process.
  const connectionTimeoutInSeconds = 30;
  const socket = await client.stream.connect({ id: interactionId, configuration, connectionTimeoutInSeconds });
  connected(began);
  let open = true;
  const lost = () => {
    open = false;
    failure(number);
  };
  let transcripts = 0;
  socket.on("message", (message) => {
    if (message.type === "transcript") transcripts += message.data.length;
  });
  socket.on("error", lost);
  socket.on("close", lost);
  pace(number, (chunk) => {
    if (open) socket.sendAudio(chunk);
    return open;
  });
});
