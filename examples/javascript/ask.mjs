// Asks a pricer of examples/quotes.py what tea costs, raises its markup, and asks again:
//
//   NATS_URL=nats://127.0.0.1:4222 node ask.mjs [amount]

import { fileURLToPath } from "node:url";

import { CoveyError, Swarm } from "./client.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const amount = Number(process.argv[2] ?? 3);

const swarm = await Swarm.connect({
  name: "shop",
  protos: [here("envelope.proto"), here("quotes.proto")],
  servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
});

swarm.subscribe("quotes.*", (quote, { topic, sender }) => {
  console.log(`${sender} has published on ${topic}:`, quote);
});

try {
  console.log("asked:", await swarm.ask("pricer", "eu", "quotes.Order", { sku: "tea", amount }));
  await swarm.ask("pricer", "eu", "quotes.Markup", { share: 0.2 }); // tell() would not wait until it is done
  console.log("asked:", await swarm.ask("pricer", "eu", "quotes.Order", { sku: "tea", amount }));
  await swarm.ask("pricer", "eu", "quotes.Order", { sku: "gold", amount });
} catch (error) {
  if (!(error instanceof CoveyError)) throw error;
  console.log(`refused: ${error.type}: ${error.message}`);
} finally {
  await swarm.close();
}
