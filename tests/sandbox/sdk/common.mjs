// The vendor's client, connected to the sandbox, whose address and credentials are a JSON argument.
import { CortiClient } from "@corti/sdk";

export const sandbox = JSON.parse(process.argv[2]);

export function makeClient(auth = {}) {
  const { auth_url, api_url, stream_url } = sandbox.http;
  return new CortiClient({
    tenantName: sandbox.tenant,
    auth: { clientId: sandbox.client_id, clientSecret: sandbox.client_secret, ...auth },
    environment: { base: api_url, wss: stream_url, login: `${auth_url}/realms`, agents: auth_url },
    maxRetries: 0,
  });
}

export function encounter(identifier) {
  return { encounter: { identifier, status: "planned", type: "first_consultation" } };
}

export function configuration(role = "multiple") {
  return {
    transcription: {
      primaryLanguage: "en",
      isDiarization: false,
      isMultichannel: false,
      participants: [{ channel: 0, role }],
    },
    mode: { type: "facts", outputLocale: "en" },
    audioFormat: "audio/pcm; rate=16000; channels=1; bits=16",
  };
}

// The test reads one line of JSON.
export function report(result) {
  console.log(JSON.stringify(result));
}
