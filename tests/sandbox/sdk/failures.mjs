// Prints the documented failures as the vendor's client reports them.
import { configuration, encounter, makeClient, report } from "./common.mjs";

async function failure(attempt) {
  try {
    await attempt();
    return null;
  } catch (error) {
    return { name: error?.constructor?.name, status: error?.statusCode, body: error?.body, text: String(error?.message ?? error) };
  }
}

const client = makeClient();
const body = encounter(`sdk-failures-${process.pid}`);
const created = await client.interactions.create(body);
report({
  badSecret: await failure(() => makeClient({ clientSecret: "guess" }).interactions.create(body)),
  badRole: await failure(() =>
    client.stream.connect({ id: created.interactionId, configuration: configuration("nurse") }),
  ),
  duplicate: await failure(() => client.interactions.create(body)),
  unknown: await failure(() => client.interactions.get("7b1f0a52-6a4c-4d0e-8a49-0d6c4f0d7b11")),
  malformed: await failure(() => client.interactions.get("not-a-uuid")),
  incomplete: await failure(() =>
    client.interactions.create({ encounter: { identifier: "", status: "planned", type: "consultation" } }),
  ),
});
process.exit(0);
