// The library `ws`, which the vendor's client uses, with the protocol written by hand.
import WebSocket from "ws";
import { configuration, connected, encounter, failure, options, pace, run } from "./common.mjs";

async function post(path, body, headers) {
  const response = await fetch(options.restUrl + path, { method: "POST", body, headers });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response.json();
}

const form = { grant_type: "client_credentials", client_id: "bench", client_secret: "bench", scope: "openid" };
const { access_token: token } = await post("/realms/base/protocol/openid-connect/token", new URLSearchParams(form));
const headers = { Authorization: `Bearer ${token}`, "Tenant-Name": "base", "Content-Type": "application/json" };

run(async (number) => {
  const { websocketUrl } = await post("/v2/interactions/", JSON.stringify(encounter(number)), headers);
  const began = performance.now();
  const socket = new WebSocket(`${websocketUrl}&token=Bearer%20${token}`);
  let transcripts = 0;
  socket.on("open", () => socket.send(JSON.stringify({ type: "config", configuration })));
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.type === "transcript") transcripts += message.data.length;
    if (message.type !== "CONFIG_ACCEPTED") return;
    connected(began);
    pace(number, (chunk) => {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(chunk);
      return true;
    });
  });
  socket.on("error", () => failure(number));
  socket.on("close", () => failure(number));
});
